"""MultiScaleChipTTA: every scale answers for the sizes it was trained on, soft-NMS joins them (SNIPER, sec. 3.4)."""

from __future__ import annotations

import copy
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from mmdet.models.detectors import RPN, TwoStagePanopticSegmentor
from mmdet.models.utils.misc import samplelist_boxtype2tensor
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from torch import Tensor, nn

from ..chips.planner import ChipPlanner
from ..chips.pyramid import build_planner
from ..chips.scales import NUMBER, Scale
from ..large_images import LargeImage
from ..registry import MODELS
from .focus.search import FocusSettings, check_branch, focus_settings, focused
from .limits import PER_TILE, describe, own_limit
from .masks import unpasted_masks
from .merging import check_nms, from_view, merge
from .padding import divisor_of, longest_side, padded, padded_to_strides
from .pyramid import FOLLOWS, Ranges, choose_pyramid, say_if_reduced, say_if_untaught
from .tta_inputs import image_size, images_of, name_of, no_instances
from .views import View, batches, choose_views

DEFAULTS = dict(
    scales=FOLLOWS,
    ranges=FOLLOWS,
    flip=False,
    nms=dict(type='soft_nms'),
    score_thr=1e-3,
    max_per_img=None,
    max_canvas=None,
    batch_pixels=2048**2,
    focus=None,
)
# Who tests an RPN, to mine or for recall, wants every proposal.
RPN_DEFAULTS = dict(score_thr=0.0, max_per_img=-1)
# What a setting may be, and whether it is; the others are checked where they are used.
SETTINGS = dict(
    flip=('True or False', lambda given: isinstance(given, bool)),
    score_thr=('a number', lambda given: isinstance(given, NUMBER) and not isinstance(given, bool)),
    max_per_img=(
        f'None for {PER_TILE} per tile, or a whole number >= -1, -1 for all',
        lambda given: given is None or (type(given) is int and given >= -1),
    ),
    max_canvas=('None, or a whole number >= 1', lambda given: given is None or (type(given) is int and given >= 1)),
    batch_pixels=('a whole number >= 1', lambda given: type(given) is int and given >= 1),
)


@MODELS.register_module()
class MultiScaleChipTTA(BaseTTAModel):
    """Wraps any mmdet detector that predicts ``pred_instances``; mmdet's ``tools/test.py --tta`` drives it.

    ``tta_pipeline`` loads and packs the image, without resizing it; with ``mmsniper.OpenImage`` in it, each view is
    read from the file instead. Views are cut from it here, on the model's device: first all are chosen, then those that
    the preprocessor pads to one shape are run together, then merged. A canvas larger than ``max_canvas`` is cut into
    tiles; one smaller than a chip of the planner is padded to it, as in training, which a network relies on. Images of
    a batch may have any sizes. An RPN's proposals are put together without suppression, and all are kept unless
    ``tta_cfg`` says otherwise.

    Args:
        module: The detector or its config.
        tta_cfg: Overrides any of these:

            - scales: zoom factors, or (long edge, short edge); default 'planner', see :meth:`follow`. An image larger
              than its edges is reduced to them, not tiled: for small objects in large images let the finest scale be a
              zoom factor, such as 1.0. A warning says so once, at less than half of the zoom that is trained, or of 1.
            - ranges: per scale (lo, hi), half-open, on sqrt(width * height) of a detection in image pixels, None for
              an open end; default 'planner'; or None: every scale answers for every size.
            - flip: show each view mirrored, too.
            - nms: how views are merged, see :func:`~mmsniper.models.merging.merge`; default Gaussian soft-NMS, sigma
              0.55. None = not at all.
            - score_thr (1e-3), max_per_img: what is kept. None = 200 detections, of an image in tiles 200 per tile;
              -1 = all. An RPN's defaults are 0.0 and -1. What is left out with a score that would be drawn
              is counted in the metainfo (``n_left_out``; ``n_full_views`` counts views with as many detections as the
              detector's own ``max_per_img``), and said once.
            - max_canvas: longest side of a view in network pixels, see :func:`~mmsniper.models.views.choose_views` for
              which objects are whole in one tile. None = 2048; of DETR and its kin, which tell boxes as shares of what
              they are shown, a chip's side, which is logged.
            - batch_pixels (2048 * 2048): network pixels that go through the detector at a time.
            - focus: look at the last scale, the coarsest, whole, and at the finer ones only where the one before has
              seen something small (AutoFocus): ``dict(threshold=..., dilate=..., min_size=...)``, see
              :class:`~mmsniper.models.focus.search.FocusSettings`, or per finer scale one such dict, or None for all
              of it. It takes a detector that was trained with ``mmsniper.WithFocus``. Default None: every scale is
              looked at whole.
        data_preprocessor: For a module given as a config, in place of its own. One that pads to no multiple
            (``pad_size_divisor=1``) pads views to multiples of 32.

    Raises:
        TypeError: If ``tta_cfg`` has a setting that does not exist.
        ValueError: If one is malformed, or the detector is a panoptic one without ``pred_instances``. While testing, if
            an image has been resized or flipped, or ``max_canvas`` is too small for a scale's range; names the image.
    """

    def __init__(
        self, module: nn.Module | dict, tta_cfg: dict | None = None, data_preprocessor: nn.Module | dict | None = None
    ) -> None:
        if isinstance(module, nn.Module) and data_preprocessor is not None:
            raise ValueError(
                f'data_preprocessor is only for a module given as a config, but this is a {type(module).__name__}: set '
                'the data_preprocessor of its own config instead'
            )
        super().__init__(module, data_preprocessor)
        if isinstance(self.module, TwoStagePanopticSegmentor):  # whose fusion head would fail on unpasted masks
            raise ValueError(no_instances(self.module))
        self.is_rpn = isinstance(self.module, RPN)
        cfg = {**copy.deepcopy(DEFAULTS), **(RPN_DEFAULTS if self.is_rpn else {}), **(tta_cfg or {})}
        if unknown := set(cfg) - set(DEFAULTS):
            raise TypeError(f'tta_cfg has no setting {sorted(unknown)}; there are {sorted(DEFAULTS)}')
        self.given, self.given_canvas = (cfg['scales'], cfg['ranges']), cfg['max_canvas']
        self.planner: ChipPlanner | None = None
        self.least = 0  # a chip's side, to which it is padded
        # Until it is known what they follow from.
        self.scales: tuple[Scale, ...] = ()
        self.ranges: Ranges = []
        self.refocus(cfg['focus'])
        self.keep_focus = self.said_too_far = self.said_order = False
        for key, (what, good) in SETTINGS.items():
            if not good(cfg[key]):
                raise ValueError(f'tta_cfg: {key} is {what}; got {cfg[key]!r}')
        if FOLLOWS not in self.given:
            self.follow(None)
        check_nms(cfg['nms'])
        self.flip, self.batch_pixels = cfg['flip'], cfg['batch_pixels']
        self.nms = None if self.is_rpn else cfg['nms']
        self.score_thr, self.max_per_img = cfg['score_thr'], cfg['max_per_img']
        self.checked = self.warned = self.said_left_out = False
        self.report_thr = 0.3  # what is drawn, and missed
        self.on_progress: Callable[[int, int], None] | None = None  # is given views done, and all
        self.view_limit = own_limit(self.module)
        test_cfg = getattr(self.module, 'test_cfg', None) or {}
        self.mask_thr = (test_cfg.get('rcnn') or {}).get('mask_thr_binary', 0.5)

    def follow(self, planner: dict | None) -> None:
        """Take the scales and ranges that ``tta_cfg`` does not give from the planner of the detector's training.

        ``EvaluationHook``, ``MultiScaleValLoop`` and the inferencer call it, see
        :func:`~mmsniper.chips.inference.inference_pyramid`. Those given are warned of if they are not what it teaches.

        Args:
            planner: Its settings; None = there is none, and the paper's test pyramid is used.

        Raises:
            ValueError: If the planner is malformed, or has another number of scales than ``tta_cfg``.
        """
        self.planner = build_planner(planner) if planner else None
        self.least = self.planner.canvas((0, 0))[0] if self.planner else 0
        self.scales, self.ranges = choose_pyramid(*self.given, self.planner, self.is_rpn)
        self.max_canvas = self.given_canvas or longest_side(self.module, self.least)
        self.refocus(self.given_focus)

    def refocus(self, focus: dict | Sequence[dict] | None) -> None:
        """Change ``tta_cfg.focus``.

        Args:
            focus: As ``tta_cfg`` has it.

        Raises:
            TypeError: If it has a setting that does not exist.
            ValueError: If one is malformed, there is but one scale, or the detector has no trained ``FocusHead``.
        """
        self.given_focus = focus
        self.focus: list[FocusSettings | None] = []
        if focus is not None:
            check_branch(self.module)
            self.focus = focus_settings(focus, len(self.scales) or None)

    @torch.no_grad()
    def test_step(self, data: dict) -> list[DetDataSample]:
        """Detect on a batch of whole images.

        Args:
            data: ``inputs``, per image a (3, H, W) uint8 tensor, and ``data_samples``, as ``PackDetInputs`` packs them.
                Without ``inputs`` views are read from the files, as ``OpenImage`` leaves it to do.

        Returns:
            The data samples with ``pred_instances`` in the image frame, see :func:`~mmsniper.models.merging.merge`, and
            ``view_pixels`` in the metainfo, the network pixels of their views, as they are padded to go in batches.
        """
        samples, images = list(data['data_samples']), images_of(data)
        samplelist_boxtype2tensor(samples)  # what the detector's preprocessor does to ground truth
        whole = [view for n, image in enumerate(images) for view in self.choose_views(n, image, samples[n])]
        if self.given_focus is None:
            found = self.run_views(images, samples, whole)
        else:
            check_branch(self.module)  # of what has been loaded since
            found = focused(self, images, samples, whole)
        seen: list[list[DetDataSample]] = [[] for _ in images]
        for view, sample in found:
            seen[view.image_idx].append(sample)
        tiles = [Counter(view.scale_idx for view in whole if view.image_idx == n) for n in range(len(images))]
        most = [max(counts.values()) // (2 if self.flip else 1) for counts in tiles]
        for sample, views in zip(samples, seen, strict=True):
            sample.set_metainfo(dict(view_pixels=sum(view.view_pixels for view in views)))
        return [self._merge_views(*one) for one in zip(seen, samples, most, strict=True)]

    def choose_views(self, image_idx: int, image: Tensor | LargeImage, sample: DetDataSample) -> list[View]:
        """Where to look in one image."""
        size = image_size(image)
        if not self.scales:
            self.follow(None)
        self._check_pyramid(size, sample)
        try:
            return choose_views(image_idx, size, self.scales, self.ranges, self.flip, self.max_canvas, self.least)
        except ValueError as error:
            raise ValueError(f'{name_of(sample)}, {size[0]} x {size[1]} px: {error}') from error

    def run_views(
        self,
        images: Sequence[Tensor | LargeImage],
        samples: Sequence[DetDataSample],
        views: Sequence[View],
        n_before: int = 0,
        of_pyramid: bool = True,
    ) -> list[tuple[View, DetDataSample]]:
        """Detect in views, those that are padded to one shape together.

        Args:
            images: Per image (3, H, W), or its file.
            samples: Per image its data sample.
            views: Views of these images.
            n_before: Views that ``on_progress`` has been told of.
            of_pyramid: Each scale answers for its range. Else one that is not the finest answers for what is smaller,
                too: :func:`~mmsniper.models.focus.search.focused` sorts out what finer ones show.

        Returns:
            Per view a data sample whose ``pred_instances`` are in the image frame, of the scale's range, and whole.
        """
        done: list[tuple[View, DetDataSample]] = []
        device = next(self.module.parameters()).device
        on_device = [image.to(device, non_blocking=True) if isinstance(image, Tensor) else image for image in images]
        divisor = divisor_of(self.module)
        for batch in batches(views, self.batch_pixels, divisor):
            # The detector is to leave boxes in the view frame: what it takes for the original image is the view.
            shown = [DetDataSample(metainfo={**samples[view.image_idx].metainfo, **view.meta}) for view in batch]
            inputs = [padded(view.cut(on_device[view.image_idx], device), view.padded, self.module) for view in batch]
            with unpasted_masks(self.module), padded_to_strides(self.module):
                predicted = self.module.test_step(dict(inputs=inputs, data_samples=shown))
            for view, sample in zip(batch, predicted, strict=True):
                whole, image = samples[view.image_idx], images[view.image_idx]
                if 'pred_instances' not in sample:
                    raise ValueError(f'{name_of(whole)}: {no_instances(self.module)}')
                size = image_size(image)
                found = sample.pred_instances
                full = self.view_limit is not None and len(found) >= self.view_limit
                full = full and bool((found.scores >= self.report_thr).all())
                low, high = self.ranges[view.scale_idx]
                if view.scale_idx and not of_pyramid:
                    low = 0.0
                instances = from_view(found, view, size, (low, high))
                meta = dict(whole.metainfo, n_full_views=int(full), view_pixels=math.prod(view.canvas(divisor)))
                seen = DetDataSample(metainfo=meta, pred_instances=instances)
                if 'focus' in sample:
                    seen.focus = sample.focus
                done.append((view, seen))
            if self.on_progress is not None:
                self.on_progress(n_before + len(done), n_before + len(views))
        return done

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """The first view's data sample per image, with the detections of all its views, in the image frame, merged."""
        return [self._merge_views(views, views[0]) for views in data_samples_list]

    def _merge_views(self, views: Sequence[DetDataSample], sample: DetDataSample, tiles: int = 1) -> DetDataSample:
        height, width = sample.ori_shape[:2]
        parts = [view.pred_instances for view in views]
        most = PER_TILE * tiles if self.max_per_img is None else self.max_per_img
        cut: list[Tensor] = []
        sample.pred_instances = merge(
            parts, (width, height), self.nms, self.score_thr, most, self.mask_thr, on_cut=cut.append
        )
        n_left_out = sum(int((scores >= self.report_thr).sum()) for scores in cut)
        n_full_views = sum(view.get('n_full_views', 0) for view in views)
        counts = dict(n_left_out=n_left_out, n_full_views=n_full_views)
        sample.set_metainfo({name: count for name, count in counts.items() if count})
        if not self.said_left_out and (text := describe(sample, most, self.view_limit)):
            self.said_left_out = True
            print_log(
                f'{name_of(sample)}: {text}. This is said of the first such image only', 'current', logging.WARNING
            )
        return sample

    def _check_pyramid(self, size: tuple[int, int], sample: DetDataSample) -> None:
        pyramid = self.scales, self.ranges, self.planner, size, name_of(sample)
        if self.planner and not self.checked and not self.is_rpn and self.given != (FOLLOWS, FOLLOWS):
            say_if_untaught(*pyramid)
        self.checked = True
        self.warned = self.warned or say_if_reduced(*pyramid)
