"""LoadChipAnnotations: mmdet's LoadAnnotations, with masks left as they are annotated."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations

from ...registry import TRANSFORMS
from ..coco_records import is_usable_polygon
from .object_masks import ObjectMasks, PixelMask, Polygons


@TRANSFORMS.register_module()
class LoadChipAnnotations(LoadAnnotations):
    """Load annotations for :class:`ChipSampler`, which needs no bitmaps of the whole image.

    mmdet draws every mask at the image's size, or, with ``poly2mask=False``, makes ignored regions of objects whose
    mask is RLE. Here polygons stay polygons and RLE becomes the pixels of the object's own rectangle. An object
    without a polygon of three points is an ignored region, as in mmdet.

    Required Keys: instances, height, width (of the image, both optional)

    Added Keys: as ``LoadAnnotations``; gt_masks (:class:`ObjectMasks`)

    Args:
        **options: As for ``LoadAnnotations``, but ``poly2mask``.

    Raises:
        TypeError: If ``poly2mask`` is given.
        ValueError: On a call, if a mask is neither polygons nor an RLE of the image's size; names the image.
    """

    def __init__(self, **options: Any) -> None:
        if 'poly2mask' in options:
            raise TypeError('LoadChipAnnotations leaves masks as they are annotated: take poly2mask out')
        super().__init__(**options)

    def _load_masks(self, results: dict) -> None:
        flags = [instance['ignore_flag'] for instance in results.get('instances', [])]
        objects: list[Polygons | PixelMask] = []
        for n, instance in enumerate(results.get('instances', [])):
            try:
                mask = _object_mask(instance.get('mask'), (results.get('height'), results.get('width')))
            except ValueError as error:
                raise ValueError(f'{results.get("img_path", "an image")}: the mask of instance {n}: {error}') from error
            if not isinstance(mask, PixelMask) and not mask:
                flags[n] = 1
            objects.append(mask)
        results['gt_masks'] = ObjectMasks(objects)
        results['gt_ignore_flags'] = np.array(flags, dtype=bool)

    def __repr__(self) -> str:
        return super().__repr__().replace(f'poly2mask={self.poly2mask}, ', '')


def _object_mask(mask: Any, shape: tuple[int | None, int | None]) -> Polygons | PixelMask:
    """What is drawn of an instance's ``mask``, in an image of (height, width), where that is known."""
    if isinstance(mask, list):
        return [np.array(polygon, np.float64) for polygon in mask if is_usable_polygon(polygon)]
    if not isinstance(mask, dict):
        raise ValueError(f'{mask!r:.50} is neither polygons nor RLE; add the mask, or load none')
    if None not in shape and tuple(mask.get('size') or ()) != shape:
        raise ValueError(f'an RLE of size {mask.get("size")}, in an image of {shape}; encode it again')
    return PixelMask.from_rle(mask)
