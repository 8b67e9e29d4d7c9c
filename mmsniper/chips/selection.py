"""Which chips one image needs: the compiled inside of ChipPlanner (SNIPER, sec. 3.2 and 3.3).

Shapes: S scales, M boxes, P proposals, N chips. Image pixels unless it says network pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .cover import ROW_MAJOR, enclosing_windows, greedy_cover, mix, window_origins
from .scales import MIN_USABLE_SIDE, assign_scales, windows_at_scales

# A proposal is covered by a positive chip that holds this share of its area: what it shows is trained on there.
COVERED = 0.5

ChipArrays = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]


@compiled
def positive_chips(
    bboxes: NDArray,
    width: int,
    height: int,
    zooms: NDArray,
    edges: NDArray,
    ranges: NDArray,
    chip_size: int,
    stride: float,
    seed: int,
) -> ChipArrays:
    """Chips that enclose every usable box at each scale it is planned for: the arrays of ``Chips``.

    Args:
        bboxes: (M, 4) float64, image frame.
        width: Image width.
        height: Image height.
        zooms: (S,) zoom factors, nan where `edges` counts.
        edges: (S, 2) long and short edge in network pixels.
        ranges: (S, 2) valid ranges on sqrt(area).
        chip_size: Side of a chip in network pixels.
        stride: Stride of the window grid in network pixels.
        seed: Shifts the grid and breaks ties; ``ROW_MAJOR`` does neither.
    """
    boxes = clipped(bboxes, width, height)
    factors, sides = windows_at_scales(width, height, zooms, edges, chip_size)
    planned = assign_scales(boxes, width, height, ranges, factors, sides)[1]
    least = np.ones(len(sides), np.int64)
    return _cover_scales(boxes, planned, least, width, height, factors, sides, chip_size, stride, seed)


@compiled
def negative_chips(
    proposals: NDArray,
    positives: NDArray,
    positive_scales: NDArray,
    least: NDArray,
    width: int,
    height: int,
    zooms: NDArray,
    edges: NDArray,
    ranges: NDArray,
    chip_size: int,
    stride: float,
    seed: int,
) -> ChipArrays:
    """Chips full of proposals that no positive chip covers: the arrays of ``Chips``.

    Args:
        proposals: (P, 4) float64, image frame.
        positives: (N, 4) float64 positive chips, image frame.
        positive_scales: (N,) int64 their scales.
        least: (S,) int64, smallest number of newly covered proposals that is worth a chip.
        width: Image width; this and what follows as in :func:`positive_chips`.
        height: Image height.
        zooms: (S,)
        edges: (S, 2)
        ranges: (S, 2)
        chip_size: Side of a chip in network pixels.
        stride: Stride of the window grid in network pixels.
        seed: Shifts the grid and breaks ties; ``ROW_MAJOR`` does neither.
    """
    boxes = clipped(proposals, width, height)
    factors, sides = windows_at_scales(width, height, zooms, edges, chip_size)
    wanted = uncovered_proposals(boxes, positives, positive_scales, ranges, sides)
    return _cover_scales(boxes, wanted, least, width, height, factors, sides, chip_size, stride, seed)


@compiled
def uncovered_proposals(
    proposals: NDArray, positives: NDArray, positive_scales: NDArray, ranges: NDArray, sides: NDArray
) -> NDArray[np.bool_]:
    """Which proposals count at which scale for negative chips: (S, P) bool.

    Args:
        proposals: (P, 4) float64, image frame, clipped to the image.
        positives: (N, 4) float64 positive chips, image frame.
        positive_scales: (N,) int64 their scales.
        ranges: (S, 2) valid ranges on sqrt(area).
        sides: (S,) int64 side of a chip.
    """
    counts = np.zeros((len(sides), len(proposals)), np.bool_)
    for s in range(len(sides)):
        chips = positives[positive_scales == s]
        for p in range(len(proposals)):
            box = proposals[p]
            box_w, box_h = box[2] - box[0], box[3] - box[1]
            hull_w, hull_h = np.ceil(box[2]) - np.floor(box[0]), np.ceil(box[3]) - np.floor(box[1])
            counts[s, p] = (
                min(box_w, box_h) >= MIN_USABLE_SIDE
                and ranges[s, 0] <= np.sqrt(box_w * box_h) < ranges[s, 1]
                and max(hull_w, hull_h) <= sides[s]
                and not _is_covered(box, chips)
            )
    return counts


@compiled
def _is_covered(box: NDArray, chips: NDArray) -> bool:
    """Whether one of the chips (N, 4) holds at least ``COVERED`` of the area of a box (4,)."""
    enough = COVERED * (box[2] - box[0]) * (box[3] - box[1])
    for n in range(len(chips)):
        inside_w = min(box[2], chips[n, 2]) - max(box[0], chips[n, 0])
        inside_h = min(box[3], chips[n, 3]) - max(box[1], chips[n, 1])
        if inside_w > 0 and inside_h > 0 and inside_w * inside_h >= enough:
            return True
    return False


@compiled
def clipped(bboxes: NDArray, width: int, height: int) -> NDArray:
    """The part of each box inside the image: (M, 4) -> (M, 4). The compiled twin of ``clip_boxes``."""
    boxes = np.empty_like(bboxes)
    for m in range(len(bboxes)):
        boxes[m, 0], boxes[m, 2] = min(max(bboxes[m, 0], 0), width), min(max(bboxes[m, 2], 0), width)
        boxes[m, 1], boxes[m, 3] = min(max(bboxes[m, 1], 0), height), min(max(bboxes[m, 3], 0), height)
    return boxes


@compiled
def _cover_scales(
    boxes: NDArray,
    wanted: NDArray,
    least: NDArray,
    width: int,
    height: int,
    factors: NDArray,
    sides: NDArray,
    chip_size: int,
    stride: float,
    seed: int,
) -> ChipArrays:
    """Greedy cover of each scale's wanted boxes, (S, M) bool, by windows that newly cover at least (S,) of them."""
    windows = np.empty((wanted.sum(), 4), np.float32)
    scale_idx = np.empty(len(windows), np.int64)
    scale = np.empty(len(windows))
    n = 0
    for s in range(len(sides)):
        if wanted[s].sum() >= least[s]:
            scale_seed = seed if seed == ROW_MAJOR else mix(seed, s)
            found = _cover(boxes[wanted[s]], width, height, sides[s], stride / factors[s], least[s], scale_seed)[0]
            stop = n + len(found)
            windows[n:stop], scale_idx[n:stop], scale[n:stop] = found, s, chip_size / sides[s]
            n = stop
    return windows[:n], scale_idx[:n], scale[:n]


@compiled
def _cover(
    boxes: NDArray, width: int, height: int, side: int, step: float, least: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Greedy cover at one scale: (K, 4) windows inside the image, and (K,) boxes newly covered by each."""
    x_seed = seed if seed == ROW_MAJOR else mix(seed, 0)
    y_seed = seed if seed == ROW_MAJOR else mix(seed, 1)
    xs = window_origins(boxes[:, 0], boxes[:, 2], width, side, step, x_seed)
    ys = window_origins(boxes[:, 1], boxes[:, 3], height, side, step, y_seed)
    x_first, x_stop = enclosing_windows(boxes[:, 0], boxes[:, 2], xs, min(side, width))
    y_first, y_stop = enclosing_windows(boxes[:, 1], boxes[:, 3], ys, min(side, height))
    chosen, gains = greedy_cover(x_first, x_stop, y_first, y_stop, (len(ys), len(xs)), least, seed)
    windows = np.empty((len(chosen), 4), np.int64)
    for k in range(len(chosen)):
        x, y = xs[chosen[k] % len(xs)], ys[chosen[k] // len(xs)]
        windows[k, 0], windows[k, 1] = x, y
        windows[k, 2], windows[k, 3] = min(x + side, width), min(y + side, height)
    return windows, gains
