"""Chips of all images of a data set in one call: the compiled inside of a plan.

Shapes: I images, T boxes in all, S scales, N chips in all. Image pixels unless it says network pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .cover import ROW_MAJOR, mix
from .scales import assign_scales, windows_at_scales
from .selection import clipped, positive_chips


@compiled
def windows_of_images(sizes: NDArray, zooms: NDArray, edges: NDArray, chip_size: int) -> tuple[NDArray, NDArray]:
    """Factor and chip side of every scale on every image, (I, S) float64 and (I, S) int64.

    Args:
        sizes: (I, 2), (width, height) of each image.
        zooms: (S,) zoom factors, nan where `edges` counts.
        edges: (S, 2) long and short edge in network pixels.
        chip_size: Side of a chip in network pixels.
    """
    factors = np.empty((len(sizes), len(zooms)))
    sides = np.empty((len(sizes), len(zooms)), np.int64)
    for i in range(len(sizes)):
        factors[i], sides[i] = windows_at_scales(sizes[i, 0], sizes[i, 1], zooms, edges, chip_size)
    return factors, sides


@compiled
def positive_chips_of_images(
    bboxes: NDArray,
    start: NDArray,
    sizes: NDArray,
    zooms: NDArray,
    edges: NDArray,
    ranges: NDArray,
    chip_size: int,
    stride: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """:func:`~mmsniper.chips.selection.positive_chips` of every image: (I,) how many, and the arrays of ``Chips``.

    Args:
        bboxes: (T, 4) float64, image frame.
        start: (I + 1,) image i owns rows ``start[i]:start[i + 1]``.
        sizes: (I, 2), (width, height) of each image.
        zooms: (S,); this and what follows as in ``positive_chips``.
        edges: (S, 2)
        ranges: (S, 2)
        chip_size: Side of a chip in network pixels.
        stride: Stride of the window grid in network pixels.
        seed: Every image has a seed of its own, made of this one and its number; ``ROW_MAJOR`` for all as it is.
    """
    counts = np.empty(len(sizes), np.int64)
    room = len(sizes) + len(bboxes)
    windows, scale_idx, scale = np.empty((room, 4), np.float32), np.empty(room, np.int64), np.empty(room)
    n = 0
    for i in range(len(sizes)):
        boxes = bboxes[start[i] : start[i + 1]]
        own = seed if seed == ROW_MAJOR else mix(seed, i)
        found = positive_chips(boxes, sizes[i, 0], sizes[i, 1], zooms, edges, ranges, chip_size, stride, own)
        counts[i] = len(found[0])
        if n + counts[i] > room:
            room = 2 * room + counts[i]
            windows, scale_idx, scale = grown(windows, n, room), grown(scale_idx, n, room), grown(scale, n, room)
        stop = n + counts[i]
        windows[n:stop], scale_idx[n:stop], scale[n:stop] = found
        n = stop
    return counts, windows[:n].copy(), scale_idx[:n].copy(), scale[:n].copy()


@compiled
def count_unlearnt(
    bboxes: NDArray, start: NDArray, sizes: NDArray, zooms: NDArray, edges: NDArray, ranges: NDArray, chip_size: int
) -> tuple[int, int]:
    """How many boxes are valid nowhere, and how many are valid but larger than a chip at every scale.

    Args:
        bboxes: (T, 4) float64, image frame; this and what follows as in :func:`positive_chips_of_images`.
        start: (I + 1,)
        sizes: (I, 2)
        zooms: (S,)
        edges: (S, 2)
        ranges: (S, 2)
        chip_size: Side of a chip in network pixels.
    """
    unusable = unreachable = 0
    for i in range(len(sizes)):
        width, height = sizes[i, 0], sizes[i, 1]
        boxes = clipped(bboxes[start[i] : start[i + 1]], width, height)
        factors, sides = windows_at_scales(width, height, zooms, edges, chip_size)
        valid, planned = assign_scales(boxes, width, height, ranges, factors, sides)
        for m in range(len(boxes)):
            if not valid[:, m].any():
                unusable += 1
            elif not planned[:, m].any():
                unreachable += 1
    return unusable, unreachable


@compiled
def grown(array: NDArray, used: int, room: int) -> NDArray:
    """A copy of an array's first `used` rows with room for more."""
    larger = np.empty((room,) + array.shape[1:], array.dtype)
    larger[:used] = array[:used]
    return larger
