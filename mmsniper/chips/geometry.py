"""Boxes, and the two frames they live in.

Shapes: N boxes. A box is (x1, y1, x2, y2), half-open, so its width is x2 - x1. *Image frame*: pixels of the original
image. *Chip frame*: pixels of the network input, x_chip = (x_image - chip_x1) * zoom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.floating]


def as_boxes(bboxes: ArrayLike) -> NDArray[np.float64]:
    """Any (N, 4) box array, or an empty list, as (N, 4) float64.

    Raises:
        ValueError: If the shape is not (N, 4) or a coordinate is not finite.
    """
    boxes = np.asarray(bboxes, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'boxes must have shape (N, 4), xyxy; got {boxes.shape}')
    if not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(1))[0])
        raise ValueError(f'box {row} is {boxes[row].tolist()}: every coordinate must be finite')
    return boxes


def box_sizes(bboxes: Boxes) -> NDArray[np.floating]:
    """Size of each box, sqrt(width * height), in the boxes' own pixels: (N, 4) -> (N,). Inverted boxes have size 0."""
    return np.sqrt(_areas(bboxes))


def clip_boxes(bboxes: Boxes, window: ArrayLike) -> Boxes:
    """The part of each box inside a window: (N, 4), (4,) -> (N, 4), same frame. Boxes outside end with no area."""
    x1, y1, x2, y2 = np.asarray(window, dtype=bboxes.dtype)
    return np.clip(bboxes, [x1, y1, x1, y1], [x2, y2, x2, y2]).astype(bboxes.dtype, copy=False)


def visible_fraction(bboxes: Boxes, window: ArrayLike) -> NDArray[np.floating]:
    """Share of each box's area that lies inside a window: (N, 4), (4,) -> (N,) in [0, 1]; 0 for boxes without area."""
    # Not by way of sizes: the square of a root is not the area, and what is half visible would be less than half.
    full, inside = _areas(bboxes), _areas(clip_boxes(bboxes, window))
    return np.divide(inside, full, out=np.zeros_like(inside), where=full > 0)


def to_chip(bboxes: Boxes, chip: ArrayLike, zoom: ArrayLike) -> Boxes:
    """Image frame -> chip frame, (N, 4) -> (N, 4), not clipped; inverse of :func:`to_image`.

    Args:
        bboxes: (N, 4) boxes, image frame.
        chip: (4,) the chip, image frame.
        zoom: Network pixels per image pixel: one number, or (zoom_x, zoom_y).
    """
    origin = np.tile(np.asarray(chip, dtype=bboxes.dtype)[:2], 2)
    return (bboxes - origin) * _per_coordinate(zoom, bboxes)


def to_image(bboxes: Boxes, chip: ArrayLike, zoom: ArrayLike) -> Boxes:
    """Chip frame -> image frame, (N, 4) -> (N, 4); inverse of :func:`to_chip`, same arguments."""
    origin = np.tile(np.asarray(chip, dtype=bboxes.dtype)[:2], 2)
    return bboxes / _per_coordinate(zoom, bboxes) + origin


def _areas(bboxes: Boxes) -> NDArray[np.floating]:
    return np.maximum(bboxes[:, 2:] - bboxes[:, :2], 0).prod(axis=1)


def _per_coordinate(zoom: ArrayLike, bboxes: Boxes) -> Boxes:
    return np.tile(np.broadcast_to(np.asarray(zoom, dtype=bboxes.dtype), 2), 2)
