"""MixChips: mmdet's Mosaic, MixUp and CopyPaste, on chips."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS as MMDET_TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor

from ...chips import ChipKey, box_sizes, clip_boxes, visible_fraction
from ...registry import TRANSFORMS, type_name
from ..seeding import seeded
from .bitmaps import to_bitmaps
from .flags import IGNORED, INVALID, VALID, join_flags, split_flags

if TYPE_CHECKING:
    from ..chip_dataset import ChipDataset


@TRANSFORMS.register_module()
class MixChips(BaseTransform):
    """Run a transform that joins several samples, and keep what each chip says about its objects.

    For the pipeline of an mmdet ``MultiImageMixDataset`` around a :class:`~mmsniper.datasets.ChipDataset`, between the
    latter's :class:`ChipSampler` and :class:`PackChipInputs`. Every object keeps the valid range of the chip that it
    comes from. Objects that the mix cuts off become invalid or ignored by ``ChipSampler``'s rules. Partners are random
    chips of random images, and they as well as the mix follow from the first chip's seed alone.

    Required Keys: what ``ChipSampler`` leaves, mix_results

    Modified Keys: img, img_shape, gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks, valid_range (a list, one pair
    per chip)

    Args:
        transform: Config of ``Mosaic``, ``MixUp`` or ``CopyPaste``. None may zoom, since the valid ranges are about
            sizes: ``img_scale`` is the chip size, ``ratio_range`` (1, 1).
        n_partners: How many chips join the first; 3 for ``Mosaic``, else 1.
        prob: Share of the chips that are mixed; the others pass as they are.
        crop: (width, height) of a random window of the mix to keep; ``Mosaic`` makes four chips' area of one sample.
        min_visible: Least share of a valid object's box that the mix must leave in view. What ``CopyPaste`` hides
            behind pasted objects does not count; mmdet has ``bbox_occluded_thr`` and ``mask_occluded_thr`` for it.
        min_side: Invalid objects whose part in view has a side under this, in pixels, become ignored regions.

    Raises:
        TypeError: On a call, if what it is around is no ``ChipDataset``.
        ValueError: If the transform zooms: by ``ratio_range``, or, on a call, by an ``img_scale`` that is not the
            chips' size; if it would lose masks.
    """

    def __init__(
        self,
        transform: dict,
        n_partners: int | None = None,
        prob: float = 1.0,
        crop: tuple[int, int] | None = None,
        min_visible: float = 0.5,
        min_side: float = 4,
    ) -> None:
        name = type_name(transform['type'])
        if 'img_scale' in transform:
            transform = {**transform, 'img_scale': tuple(transform['img_scale'])}
        if name == 'MixUp' and tuple(transform.get('ratio_range', ())) != (1, 1):
            raise ValueError(
                'MixUp zooms its second image, whose valid range then no longer fits: write MixChips(transform=dict('
                "type='MixUp', ratio_range=(1, 1), ...))"
            )
        if not 0 <= prob <= 1:
            raise ValueError(f'prob is a probability, in [0, 1]; got {prob!r}')
        self.mix = MMDET_TRANSFORMS.build(transform)
        if hasattr(self.mix, 'bbox_clip_border'):
            self.mix.bbox_clip_border = False  # boxes are clipped here, where what is cut off can still be told
        window = dict(type='RandomCrop', crop_size=crop, allow_negative_crop=True, bbox_clip_border=False)
        self.crop = MMDET_TRANSFORMS.build(window) if crop else None
        self.prob = prob
        self.n_partners = n_partners or (3 if name == 'Mosaic' else 1)
        self.min_visible = min_visible
        self.min_side = min_side

    def get_indexes(self, dataset: ChipDataset) -> list[ChipKey]:
        """Partners of the chip that the data set has just cut; none, if it is to stay alone."""
        if getattr(dataset, 'last_key', None) is None:
            raise TypeError(
                f'MixChips mixes the chips of a mmsniper.ChipDataset; it is around {type(dataset).__name__}'
            )
        # Told apart by what they are, or Mosaic and then MixUp would both mix the same chips, and leave the same alone.
        rng = np.random.default_rng((dataset.last_key.seed, zlib.crc32(repr(self).encode())))
        if rng.random() >= self.prob:
            return []
        return [dataset.draw_key(rng, dataset.last_key) for _ in range(self.n_partners)]

    def transform(self, results: dict) -> dict:
        """Mix; see the class for the keys."""
        if not results['mix_results']:
            return results
        self._check(results)
        ranges: list[tuple[float, float]] = []
        for sample in (results, *results['mix_results']):
            kinds, chip_idx, sizes = split_flags(sample['gt_ignore_flags'])
            sample['gt_ignore_flags'] = join_flags(kinds, chip_idx + len(ranges), sizes)
            given = sample['valid_range']
            ranges += given if isinstance(given, list) else [given]
            if sample.get('gt_masks') is not None:
                sample['gt_masks'] = to_bitmaps(sample['gt_masks'])  # CopyPaste takes no polygons
        image = results['img']
        with seeded((results['chip_seed'] + len(ranges)) % 2**32):
            results = self.mix(results)
            mixed = results['img'] is not image
            results = self.crop(results) if mixed and self.crop else results
        if mixed:
            results['img'] = results['img'].astype(np.uint8)  # CopyPaste leaves int64
            results['valid_range'] = ranges
            self._clip(results)
        return results

    def _check(self, results: dict) -> None:
        name = type(self.mix).__name__
        if name != 'CopyPaste' and results.get('gt_masks') is not None:
            raise ValueError(
                f"mmdet's {name} mixes boxes alone, so masks would be lost; mix with CopyPaste, or load none"
            )
        scale = getattr(self.mix, 'img_scale', getattr(self.mix, 'dynamic_scale', None))
        first = [results] if name == 'Mosaic' else []  # the others take the first image as it is
        for sample in [*first, *results['mix_results']] if scale else []:
            height, width = sample['img'].shape[:2]
            if (width, height) != tuple(scale):
                raise ValueError(
                    f'{name}(img_scale={scale}) would zoom chips of {width} x {height}, whose valid range then no '
                    f'longer fits: write img_scale=({width}, {height})'
                )

    def _clip(self, results: dict) -> None:
        """Clip boxes to the image; demote objects of which too little is left."""
        boxes = get_box_tensor(results['gt_bboxes']).numpy()
        window = (0, 0, *results['img_shape'][::-1])
        clipped = clip_boxes(boxes, window)
        kinds, chip_idx, sizes = split_flags(results['gt_ignore_flags'])
        hidden = (kinds == VALID) & (visible_fraction(boxes, window) < self.min_visible)
        sliver = (clipped[:, 2:] - clipped[:, :2]).min(axis=1, initial=np.inf) < self.min_side
        kinds = np.where(hidden, INVALID, kinds)
        kinds = np.where((kinds == INVALID) & sliver, IGNORED, kinds)
        cut = (clipped != boxes).any(axis=1) & (sizes == 0)
        sizes = np.where(cut, box_sizes(boxes), sizes)
        results['gt_ignore_flags'] = join_flags(kinds, chip_idx, sizes)
        results['gt_bboxes'] = HorizontalBoxes(clipped)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.mix}, n_partners={self.n_partners})'
