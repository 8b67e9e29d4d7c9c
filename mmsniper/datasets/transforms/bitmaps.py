"""Masks as bitmaps of the chip's size: polygons drawn as COCO draws them, pixels picked at their centres."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np
from mmdet.structures.mask import BaseInstanceMasks, BitmapMasks, PolygonMasks
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def shown_pixels(start: int, stop: int, n: int) -> NDArray[np.int64]:
    """Which pixels of [start, stop) the n pixels that it is zoomed to show: those at their centres, (n,).

    Bilinear resizing of the image is aligned to centres, too; cv2's and so mmdet's nearest is not, and lies up to half
    a pixel beside it.
    """
    return start + (2 * np.arange(n) + 1) * (stop - start) // (2 * n)


def to_bitmaps(masks: BaseInstanceMasks) -> BaseInstanceMasks:
    """Polygons as ``BitmapMasks``, for which mmdet's mask heads are much faster; others as they are."""
    if not isinstance(masks, PolygonMasks):
        return masks
    bitmaps = np.zeros((len(masks), masks.height, masks.width), np.uint8)
    for polygons, bitmap in zip(masks.masks, bitmaps, strict=True):
        rasterise(polygons, bitmap)
    return as_bitmaps(bitmaps)


def picked_bitmaps(masks: BaseInstanceMasks, index: NDArray[np.integer]) -> BitmapMasks:
    """Masks of these numbers, increasing, as ``BitmapMasks``, without the copies that mmdet's indexing makes."""
    if not isinstance(masks, BitmapMasks):
        return to_bitmaps(masks[index])
    return as_bitmaps(masks.masks if len(index) == len(masks) else masks.masks[index])


def rasterise(polygons: Sequence[NDArray], bitmap: NDArray[np.uint8]) -> None:
    """Draw what any of an object's polygons covers into a bitmap (H, W) of zeros, by COCO's rules.

    pycocotools' bitmaps lie column by column; only as much is drawn, and turned by cv2's fast transpose, as the object
    needs.

    Args:
        polygons: Flat (x, y, x, y, ...) arrays, in the bitmap's frame; may reach out of it.
        bitmap: Is changed.
    """
    if not polygons:
        return
    points = np.concatenate(polygons).reshape(-1, 2)
    x1, y1 = (max(int(least), 0) for least in points.min(axis=0).tolist())
    x2, y2 = (min(ceil(most), n) for most, n in zip(points.max(axis=0).tolist(), bitmap.shape[::-1], strict=True))
    if x1 < x2 and y1 < y2:
        origin = np.array([x1, y1])
        moved = [(polygon.reshape(-1, 2) - origin).ravel() for polygon in polygons]
        rle = coco_mask.merge(coco_mask.frPyObjects(moved, y2 - y1, x2 - x1))
        bitmap[y1:y2, x1:x2] = cv2.transpose(coco_mask.decode(rle).T)


def as_bitmaps(pixels: NDArray[np.uint8]) -> BitmapMasks:
    """``BitmapMasks`` of an array (N, H, W), without the copy of it that their constructor makes."""
    masks = BitmapMasks([], *pixels.shape[1:])
    masks.masks = pixels
    return masks
