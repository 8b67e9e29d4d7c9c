"""MultiScaleChipTTA: every scale answers for the sizes it was trained on, soft-NMS joins them (SNIPER, sec. 3.4)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import groupby

import torch
from mmdet.models.detectors import RPN
from mmdet.models.utils.misc import samplelist_boxtype2tensor
from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from torch import Tensor, nn

from ..chips.scales import check_ranges, check_scales
from ..registry import MODELS
from .masks import unpasted_masks
from .merging import check_nms, from_view, merge
from .views import View, choose_views

DEFAULTS = dict(
    scales=[(2000, 1400), (1280, 800), (512, 480)],
    ranges=[(None, 90), (32, 180), (75, None)],
    flip=False,
    nms=dict(type='soft_nms', method='gaussian', sigma=0.55),
    score_thr=1e-3,
    max_per_img=200,
    max_canvas=2048,
    batch_pixels=2048**2,
)


@MODELS.register_module()
class MultiScaleChipTTA(BaseTTAModel):
    """Wraps any mmdet detector that predicts ``pred_instances``; mmdet's ``tools/test.py --tta`` drives it.

    ``tta_pipeline`` loads and packs the image, without resizing it. Views are cut from it here, on the model's device:
    first all are chosen, then run in batches of one shape, then merged. The pyramid is made of what the image needs:
    a canvas larger than ``max_canvas`` is cut into tiles, and a batch may hold images of any sizes. An RPN's proposals
    are put together without suppression.

    Args:
        module: The detector or its config.
        tta_cfg: Overrides any of these:

            - scales: zoom factors, or (long edge, short edge); default the paper's.
            - ranges: per scale (lo, hi), half-open, on sqrt(width * height) of a detection in image pixels, None for
              an open end; or None: every scale answers for every size.
            - flip: show each view mirrored, too.
            - nms: how views are merged, see :func:`~mmsniper.models.merging.merge`; default Gaussian soft-NMS, sigma
              0.55. None = not at all.
            - score_thr (1e-3), max_per_img (200, -1 = all): what is kept.
            - max_canvas (2048): longest side of a view in network pixels. Tiles overlap so that every object of the
              scale's range is whole in one of them; what touches an inner tile border is dropped.
            - batch_pixels (2048 * 2048): network pixels that go through the detector at a time.
        data_preprocessor: For the module, in place of its own.

    Raises:
        TypeError: If ``tta_cfg`` has a setting that does not exist.
        ValueError: If one is malformed. While testing, if an image has been resized, or ``max_canvas`` is too small for
            a scale's range; names the image.
    """

    def __init__(
        self, module: nn.Module | dict, tta_cfg: dict | None = None, data_preprocessor: nn.Module | dict | None = None
    ) -> None:
        super().__init__(module, data_preprocessor)
        cfg = {**copy.deepcopy(DEFAULTS), **(tta_cfg or {})}
        if unknown := set(cfg) - set(DEFAULTS):
            raise TypeError(f'tta_cfg has no setting {sorted(unknown)}; there are {sorted(DEFAULTS)}')
        self.scales = check_scales([tuple(s) if isinstance(s, (list, tuple)) else s for s in cfg['scales']])
        ranges = [(None, None)] * len(self.scales) if cfg['ranges'] is None else cfg['ranges']
        self.ranges = check_ranges(ranges, self.scales, 'ranges').tolist()
        for key in ('max_canvas', 'batch_pixels'):
            if not isinstance(cfg[key], int) or cfg[key] < 1:
                raise ValueError(f'tta_cfg: {key} is a whole number >= 1; got {cfg[key]!r}')
        check_nms(cfg['nms'])
        preprocessor = getattr(self.module, 'data_preprocessor', None)
        if getattr(preprocessor, 'pad_size_divisor', None) == 1:
            # RTMDet and some others pad in their pipelines, to what their strides need.
            preprocessor.pad_size_divisor = 32
        self.flip, self.max_canvas, self.batch_pixels = cfg['flip'], cfg['max_canvas'], cfg['batch_pixels']
        self.nms = None if isinstance(self.module, RPN) else cfg['nms']
        self.score_thr, self.max_per_img = cfg['score_thr'], cfg['max_per_img']
        test_cfg = getattr(self.module, 'test_cfg', None) or {}
        self.mask_thr = (test_cfg.get('rcnn') or {}).get('mask_thr_binary', 0.5)

    @torch.no_grad()
    def test_step(self, data: dict) -> list[DetDataSample]:
        """Detect on a batch of whole images.

        Args:
            data: ``inputs``, per image a (3, H, W) uint8 tensor, and ``data_samples``, as ``PackDetInputs`` packs them.

        Returns:
            The data samples with ``pred_instances`` in the image frame, see :func:`~mmsniper.models.merging.merge`.
        """
        images, samples = list(data['inputs']), list(data['data_samples'])
        for image, sample in zip(images, samples, strict=True):
            self._check(image, sample)
        samplelist_boxtype2tensor(samples)  # what the detector's preprocessor does to ground truth
        views = [view for n, image in enumerate(images) for view in self.choose_views(n, image, samples[n])]
        seen: list[list[DetDataSample]] = [[] for _ in images]
        for view, sample in self.run_views(images, samples, views):
            seen[view.image_idx].append(sample)
        return [self._merge_views(found, sample) for found, sample in zip(seen, samples, strict=True)]

    def choose_views(self, image_idx: int, image: Tensor, sample: DetDataSample) -> list[View]:
        """Where to look in one image."""
        size = (image.shape[-1], image.shape[-2])
        try:
            return choose_views(image_idx, size, self.scales, self.ranges, self.flip, self.max_canvas)
        except ValueError as error:
            raise ValueError(f'{_name(sample)}, {size[0]} x {size[1]} px: {error}') from error

    def run_views(
        self, images: Sequence[Tensor], samples: Sequence[DetDataSample], views: Sequence[View]
    ) -> list[tuple[View, DetDataSample]]:
        """Detect in views, those of one shape together.

        Args:
            images: Per image (3, H, W).
            samples: Per image its data sample.
            views: Views of these images.

        Returns:
            Per view a data sample whose ``pred_instances`` are in the image frame, of the scale's range, and whole.
        """
        done = []
        device = next(self.module.parameters()).device
        on_device = [image.to(device, non_blocking=True) for image in images]
        for shape, group in groupby(sorted(views, key=lambda view: view.shape), key=lambda view: view.shape):
            same = list(group)
            step = max(self.batch_pixels // (shape[0] * shape[1]), 1)
            for first in range(0, len(same), step):
                batch = same[first : first + step]
                # The detector is to leave boxes in the view frame: what it takes for the original image is the view.
                shown = [
                    DetDataSample(metainfo={**samples[view.image_idx].metainfo, **_view_meta(view)}) for view in batch
                ]
                inputs = [view.cut(on_device[view.image_idx]) for view in batch]
                with unpasted_masks(self.module):
                    predicted = self.module.test_step(dict(inputs=inputs, data_samples=shown))
                for view, sample in zip(batch, predicted, strict=True):
                    image = images[view.image_idx]
                    size = (image.shape[-1], image.shape[-2])
                    instances = from_view(sample.pred_instances, view, size, self.ranges[view.scale_idx])
                    done.append(
                        (view, DetDataSample(metainfo=samples[view.image_idx].metainfo, pred_instances=instances))
                    )
        return done

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """The first view's data sample per image, with the merged detections of all views.

        Args:
            data_samples_list: Views per image, each with ``pred_instances`` in the image frame.
        """
        return [self._merge_views(views, views[0]) for views in data_samples_list]

    def _merge_views(self, views: Sequence[DetDataSample], sample: DetDataSample) -> DetDataSample:
        height, width = sample.ori_shape[:2]
        parts = [view.pred_instances for view in views]
        sample.pred_instances = merge(parts, (width, height), self.nms, self.score_thr, self.max_per_img, self.mask_thr)
        return sample

    def _check(self, image: Tensor | Sequence, sample: DetDataSample | Sequence) -> None:
        if not isinstance(image, Tensor):
            raise ValueError(
                f'{_name(sample[0])}: tta_pipeline makes views of it, and so does MultiScaleChipTTA: take TestTimeAug '
                'out; only LoadImageFromFile, LoadAnnotations and PackDetInputs belong there'
            )
        if tuple(image.shape[-2:]) != tuple(sample.ori_shape[:2]):
            raise ValueError(
                f'{_name(sample)}: tta_pipeline made {image.shape[-1]} x {image.shape[-2]} pixels of '
                f'{sample.ori_shape[1]} x {sample.ori_shape[0]}; take Resize, Pad and the like out: '
                'MultiScaleChipTTA scales by itself'
            )


def _view_meta(view: View) -> dict:
    return dict(ori_shape=view.shape, img_shape=view.shape, scale_factor=(1.0, 1.0), scale_idx=view.scale_idx)


def _name(sample: DetDataSample) -> str:
    return str(sample.get('img_path', 'an image'))
