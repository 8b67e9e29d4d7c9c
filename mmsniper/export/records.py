"""A cut chip as records of a COCO file.

Shapes: H, W: height, width of the chip; N objects in it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from ..chips import ChipKey, ChipKind
from ..datasets.transforms.flags import IGNORED, INVALID, VALID, split_flags

INVALID_AS = ('keep', 'ignore', 'drop')
NAMES = {VALID: 'valid', IGNORED: 'ignored', INVALID: 'invalid'}
# Digits behind the point: a thousandth of a pixel of boxes, a hundredth of polygons, which are most of a file.
BOX_DIGITS, POLYGON_DIGITS = 3, 2


def content_size(results: dict) -> tuple[int, int]:
    """(width, height) of what a chip shows of its image; the rest is padding.

    Args:
        results: What :class:`~mmsniper.datasets.ChipSampler` leaves.
    """
    x1, y1, x2, y2 = results['chip'].tolist()
    zoom_x, zoom_y = results['scale_factor']
    return round((x2 - x1) * zoom_x), round((y2 - y1) * zoom_y)


def pixels_of(image: NDArray) -> NDArray[np.uint8]:
    """A chip's pixels as files hold them: (H, W) or (H, W, C), uint8 or float -> uint8."""
    return image if image.dtype == np.uint8 else image.clip(0, 255).round().astype(np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str, quality: int) -> bytes:
    """A file's content.

    Args:
        image: (H, W) or (H, W, 3), BGR.
        suffix: 'jpg' or 'png'.
        quality: Of JPEG, 1 to 100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == 'jpg' else []
    return cv2.imencode(f'.{suffix}', image, options)[1].tobytes()


def image_record(results: dict, key: ChipKey, size: tuple[int, int]) -> dict:
    """What a COCO file says of a chip.

    Args:
        results: What the pipeline leaves of it.
        key: The chip.
        size: (width, height) of its file.
    """
    low, high = results['valid_range']
    return dict(
        width=size[0],
        height=size[1],
        chip=[int(edge) for edge in results['chip'].tolist()],
        scale=round(key.scale, 6),
        scale_idx=key.scale_idx,
        scale_factor=[float(zoom) for zoom in results['scale_factor']],
        content=list(content_size(results)),
        valid_range=[round(low, 3), round(high, 3) if np.isfinite(high) else None],
        kind=ChipKind(key.kind).name.lower(),
    )


def object_records(
    results: dict, categories: list[dict], source_ids: list, invalid: str, size: tuple[int, int]
) -> tuple[list[dict], Counter]:
    """What a COCO file says of a chip's objects, and how many there are of each kind.

    Args:
        results: What the pipeline leaves of the chip.
        categories: By label.
        source_ids: Ids of the whole image's objects; none if they are not known.
        invalid: What becomes of invalid ones: 'keep', 'ignore' or 'drop'.
        size: (width, height) of the chip's file.
    """
    if 'gt_bboxes' not in results:
        return [], Counter()
    boxes = results['gt_bboxes']
    boxes = np.asarray(boxes if isinstance(boxes, np.ndarray) else get_box_tensor(boxes), np.float64)
    kinds = split_flags(results['gt_ignore_flags']).kinds
    records, counts = [], Counter(dict.fromkeys(NAMES.values(), 0))
    for n, (box, kind, label) in enumerate(zip(boxes, kinds.tolist(), results['gt_bboxes_labels'], strict=True)):
        counts[NAMES[kind]] += 1
        if kind == INVALID and invalid == 'drop':
            continue
        x1, y1, x2, y2 = box.tolist()
        record: dict[str, Any] = dict(
            category_id=categories[int(label)]['id'],
            bbox=[round(v, BOX_DIGITS) for v in (x1, y1, x2 - x1, y2 - y1)],
            area=round((x2 - x1) * (y2 - y1), BOX_DIGITS),
            iscrowd=int(kind == IGNORED or (kind == INVALID and invalid == 'ignore')),
            valid=int(kind == VALID),
            ignored=int(kind == IGNORED),
        )
        if source_ids:
            record['source_id'] = source_ids[results['instance_idx'][n]]
        if results.get('gt_masks') is not None:
            counts['without a mask inside'] += _add_mask(record, results['gt_masks'], n, size)
        records.append(record)
    return records, counts


def _add_mask(record: dict, masks: PolygonMasks | BitmapMasks, n: int, size: tuple[int, int]) -> bool:
    """Give a record its mask and the mask's area; True if there is none inside, and it becomes an ignored region."""
    width, height = size
    polygons = None
    if isinstance(masks, PolygonMasks):
        polygons = [np.round(polygon, POLYGON_DIGITS).tolist() for polygon in masks.masks[n]]
        rle = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    else:
        rle = coco_mask.encode(np.asfortranarray(masks.masks[n][:height, :width]))
    area, empty = int(coco_mask.area(rle)), False
    if not area:
        # A corner of the box is in view and nothing of the object: neither an object nor surely background.
        empty, polygons, record['iscrowd'] = True, None, 1
        rle = coco_mask.frPyObjects(np.array([record['bbox']]), height, width)[0]
    else:
        record['area'] = area
    if polygons is None or record['iscrowd']:
        record['segmentation'] = dict(size=[height, width], counts=rle['counts'].decode())
    else:
        record['segmentation'] = polygons
    return empty
