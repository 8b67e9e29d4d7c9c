"""Boxes of a COCO file that are something else than [x, y, width, height] in pixels: all of them, by one mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .coco_records import Fault, is_number

# So many boxes, from all over a file, tell what the file's are; fewer than these could be as they are by chance.
LOOKED_AT, FEW = 10_000, 8
# A box may reach out of its image by some pixels, or this share of it: annotators and rounding do.
SLACK, SLACK_SHARE = 2.0, 0.05
# Of xyxy boxes at random places most jut out, read as xywh.
JUTTING = 0.1


def wrong_units(annotations: Sequence[Any], images: dict) -> Fault | None:
    """What the boxes are, if they are not pixels or corners were written as sizes: (what is wrong, what to do).

    Args:
        annotations: Of a file; malformed ones are passed over.
        images: Its images by id.
    """
    boxes, sizes = [], []
    for annotation in annotations[:: max(1, len(annotations) // LOOKED_AT)]:
        bbox = annotation.get('bbox') if isinstance(annotation, dict) else None
        if isinstance(bbox, (list, tuple)) and len(bbox) == 4 and all(map(is_number, bbox)):
            image_id = annotation.get('image_id')
            image = images.get(image_id) if isinstance(image_id, (int, str)) else None
            if image is not None:
                boxes.append(bbox)
                sizes.append((image['width'], image['height']))
    if not boxes:
        return None
    box, size = np.array(boxes, np.float64), np.array(sizes, np.float64)
    return _normalised(box, size) or _corners(box, size)


def _normalised(box: np.ndarray, size: np.ndarray) -> Fault | None:
    """All within 0..1, which no object in pixels is."""
    if (box < 0).any() or (box > 1).any() or not (box % 1).any() or (size <= 2).any():
        return None
    return (
        'have a box of numbers from 0 to 1: a share of the image, as YOLO has it, not pixels',
        'multiply x and width by the width of the image, y and height by its height (and if x, y is the centre, as in '
        'YOLO, subtract half of width and height first)',
    )


def _corners(box: np.ndarray, size: np.ndarray) -> Fault | None:
    """All are boxes inside their images when read as corners, and many are not when read as sizes."""
    if len(box) < FEW:
        return None
    as_corners = (box[:, 2:] > box[:, :2]).all(1) & (box[:, 2:] <= size + SLACK).all(1)
    jutting = (box[:, :2] + box[:, 2:] > size * (1 + SLACK_SHARE) + SLACK).any(1)
    # One or two of another kind do not make a file right.
    if as_corners.mean() < 0.99 or jutting.mean() < JUTTING:
        return None
    return (
        'have a box [x1, y1, x2, y2], it seems: read as [x, y, width, height], '
        f'{jutting.mean():.0%} reach out of their image, read as corners none does',
        'write [x1, y1, x2 - x1, y2 - y1]',
    )
