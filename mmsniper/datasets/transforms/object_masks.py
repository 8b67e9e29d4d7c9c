"""ObjectMasks: masks of an image's objects as they are annotated, to be cut into chips.

Objects are polygons, or the pixels that an RLE stands for. Polygons are moved and clipped, which costs next to nothing
and is exact at any zoom; pixels are sampled. Neither ever makes a bitmap of the image's size per object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmdet.structures.mask import BaseInstanceMasks, BitmapMasks, PolygonMasks
from numpy.typing import NDArray

from ..coco_records import rle_runs
from .bitmaps import as_bitmaps, rasterise, shown_pixels

Polygons = list[NDArray[np.float64]]


class PixelMask(NamedTuple):
    """Pixels of one object, of the rectangle that holds them all.

    Attributes:
        x: Left border of the rectangle, image frame.
        y: Its upper border.
        pixels: (H, W) uint8, 0 or 1.
    """

    x: int
    y: int
    pixels: NDArray[np.uint8]

    @classmethod
    def from_rle(cls, rle: dict) -> PixelMask:
        """Decode COCO's run-length code.

        Only the columns that the object touches are decoded, since an image may be far larger than its objects.

        Args:
            rle: ``size`` (height, width) and ``counts``, compressed or not.

        Raises:
            ValueError: If it is no RLE, or its counts do not add up to its size.
        """
        runs, (height, width) = rle_runs(rle.get('counts')), rle.get('size') or (0, 0)
        if runs is None or (runs < 0).any() or runs.sum() != height * width:
            raise ValueError(f'an RLE of size {rle.get("size")} has counts that do not add up to it')
        ends = np.cumsum(runs)
        set_runs = np.flatnonzero(runs[1::2]) * 2 + 1
        if not len(set_runs):
            return cls(0, 0, np.zeros((0, 0), np.uint8))
        first, last = (ends - runs)[set_runs[0]] // height, (ends[set_runs[-1]] - 1) // height  # runs go down columns
        ends = ends.clip(first * height, (last + 1) * height)
        values = np.arange(len(runs), dtype=np.uint8) & 1
        columns = np.repeat(values, np.diff(ends, prepend=first * height)).reshape(-1, height)
        rows = np.flatnonzero(columns.any(axis=0))
        pixels = np.ascontiguousarray(columns[:, rows[0] : rows[-1] + 1].T)
        return cls(int(first), int(rows[0]), pixels)


class ObjectMasks:
    """Masks of N objects, image frame. Several chips may share one: nothing changes it.

    Args:
        objects: Per object its polygons, flat (x, y, x, y, ...) arrays, or its pixels.
    """

    def __init__(self, objects: Sequence[Polygons | PixelMask]) -> None:
        self.objects = list(objects)

    @classmethod
    def wrap(cls, masks: ObjectMasks | BaseInstanceMasks) -> ObjectMasks:
        """Masks of any kind that a loader gives, without a copy."""
        if isinstance(masks, BitmapMasks):
            return cls([PixelMask(0, 0, pixels) for pixels in masks.masks])
        return cls(masks.masks) if isinstance(masks, PolygonMasks) else masks

    @property
    def nbytes(self) -> int:
        """Bytes that all points and pixels take."""
        parts = [[mask.pixels] if isinstance(mask, PixelMask) else mask for mask in self.objects]
        return sum(part.nbytes for mask in parts for part in mask)

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int | slice | NDArray) -> ObjectMasks:
        # By whatever indexes an array: mmdet's FilterAnnotations takes booleans.
        return ObjectMasks([self.objects[n] for n in np.atleast_1d(np.arange(len(self))[index])])

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f'masks as they are annotated have no {name!r}: put ChipSampler right behind LoadChipAnnotations, and what '
            'changes masks behind it'
        )

    def __repr__(self) -> str:
        n = sum(isinstance(mask, PixelMask) for mask in self.objects)
        return f'{type(self).__name__}({len(self) - n} of polygons, {n} of pixels)'

    def cut(
        self, window: NDArray[np.integer], extent: NDArray[np.integer], shape: tuple[int, int]
    ) -> BaseInstanceMasks:
        """The part in a chip, in the chip frame.

        Polygons are clipped to the chip: what reaches out of it would come back into view, over padding, if a later
        transform shifts or turns the chip.

        Args:
            window: (4,) the chip, image frame, whole pixels.
            extent: (width, height) that it is zoomed to.
            shape: (height, width) of the masks, not less; the rest is padding.

        Returns:
            ``PolygonMasks`` if all objects are polygons, else ``BitmapMasks``. An object without a part inside has a
            mask without area.
        """
        zooms = extent / (window[2:] - window[:2])
        parts = [
            mask if isinstance(mask, PixelMask) else [part for p in mask for part in _clipped(p, window, zooms, extent)]
            for mask in self.objects
        ]
        if not any(isinstance(part, PixelMask) for part in parts):
            # mmdet's polygons may not be none: this is its own stand-in.
            return PolygonMasks([part or [np.zeros(6)] for part in parts], *shape)
        columns, rows = (shown_pixels(window[axis], window[axis + 2], extent[axis]) for axis in (0, 1))
        bitmaps = np.zeros((len(parts), *shape), np.uint8)
        for bitmap, part in zip(bitmaps, parts, strict=True):
            if isinstance(part, PixelMask):
                _sample(part, rows, columns, bitmap)
            else:
                rasterise(part, bitmap)
        return as_bitmaps(bitmaps)


def _clipped(
    polygon: NDArray, window: NDArray[np.integer], zooms: NDArray[np.floating], extent: NDArray[np.integer]
) -> Polygons:
    """A polygon (2P,) of the image, in the chip frame and clipped to the chip: one or none.

    Where the chip cuts it into parts, seams of no width along the border join them (Sutherland and Hodgman, 1974).
    """
    points = (polygon.reshape(-1, 2) - window[:2]) * zooms
    lowest, highest = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    for axis, end in enumerate(extent.tolist()):
        if highest[axis] <= 0 or lowest[axis] >= end:
            return []
        if lowest[axis] < 0:
            points = _clipped_side(points, points[:, axis], axis, 0)
        if highest[axis] > end:
            points = _clipped_side(points, end - points[:, axis], axis, end)
    return [points.ravel()] if len(points) >= 3 else []


def _clipped_side(points: NDArray, inside: NDArray, axis: int, border: float) -> NDArray:
    """Points (P, 2) of a polygon, clipped at one side; `inside`, (P,), is how far in they are, negative = out."""
    following, inside_next = np.concatenate([points[1:], points[:1]]), np.roll(inside, -1)  # there may be none left
    crosses = (inside < 0) != (inside_next < 0)
    share = (inside[crosses] / (inside - inside_next)[crosses])[:, None]
    result = np.stack([points, points], axis=1)  # each point, and where the edge to the next crosses the border
    result[crosses, 1] += share * (following - points)[crosses]
    result[crosses, 1, axis] = border
    return result[np.stack([inside >= 0, crosses], axis=1)]


def _sample(mask: PixelMask, rows: NDArray[np.integer], columns: NDArray[np.integer], bitmap: NDArray) -> None:
    """Write an object's pixels into a chip's bitmap (H, W) that shows these rows and columns of the image."""
    height, width = mask.pixels.shape
    top, bottom = np.searchsorted(rows, (mask.y, mask.y + height))
    left, right = np.searchsorted(columns, (mask.x, mask.x + width))
    part = mask.pixels[rows[top:bottom] - mask.y]
    bitmap[top:bottom, left:right] = part.take(columns[left:right] - mask.x, axis=1)
