"""Which chips one image needs: the compiled inside of ChipPlanner (SNIPER, sec. 3.2 and 3.3).

Shapes: S scales, M boxes, P proposals, N chips. Image pixels unless it says network pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .cover import branch, enclosing_windows, greedy_cover, mix, window_origins
from .scales import MIN_USABLE_SIDE, assign_scales

# A proposal is covered by a positive chip that holds this share of its area: what it shows is trained on there.
COVERED = 0.5

ChipArrays = tuple[NDArray[np.float32], NDArray[np.int64]]


@compiled
def positive_chips(
    bboxes: NDArray,
    width: int,
    height: int,
    factors: NDArray,
    sides: NDArray,
    ranges: NDArray,
    stride: float,
    seed: int,
) -> ChipArrays:
    """Chips that enclose every usable box at each scale it is planned for: (N, 4) windows, and (N,) their scales.

    Args:
        bboxes: (M, 4) float64, image frame.
        width: Image width.
        height: Image height.
        factors: (S,) scale factors.
        sides: (S,) int64, side of a chip.
        ranges: (S, 2) valid ranges on sqrt(area).
        stride: Stride of the window grid in network pixels.
        seed: Shifts the grid and breaks ties; ``ROW_MAJOR`` does neither.
    """
    boxes = clipped(bboxes, width, height)
    planned = assign_scales(boxes, ranges, factors, sides)[1]
    return _cover_scales(boxes, planned, np.ones_like(sides), width, height, stride / factors, sides, seed)


@compiled
def positive_chips_of_images(
    bboxes: NDArray,
    start: NDArray,
    sizes: NDArray,
    factors: NDArray,
    sides: NDArray,
    ranges: NDArray,
    stride: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """:func:`positive_chips` of I images: (I,) how many, and the chips of all, image by image.

    Args:
        bboxes: (T, 4) float64, image frame.
        start: (I + 1,) image i owns rows ``start[i]:start[i + 1]``.
        sizes: (I, 2), (width, height) of each image.
        factors: (I, S) scale factors.
        sides: (I, S) int64, sides of chips.
        ranges: (S, 2) valid ranges on sqrt(area).
        stride: Stride of the window grid in network pixels.
        seed: Every image has a seed of its own, made of this one and its number.
    """
    counts = np.empty(len(sizes), np.int64)
    room = len(bboxes) * len(ranges)  # every chip covers another box of its scale
    windows, scale_idx = np.empty((room, 4), np.float32), np.empty(room, np.int64)
    n = 0
    for i in range(len(sizes)):
        boxes = bboxes[start[i] : start[i + 1]]
        found = positive_chips(boxes, sizes[i, 0], sizes[i, 1], factors[i], sides[i], ranges, stride, mix(seed, i))
        counts[i] = len(found[0])
        windows[n : n + counts[i]], scale_idx[n : n + counts[i]] = found
        n += counts[i]
    return counts, windows[:n].copy(), scale_idx[:n].copy()


@compiled
def negative_chips(
    proposals: NDArray,
    positives: NDArray,
    positive_scales: NDArray,
    least: NDArray,
    width: int,
    height: int,
    factors: NDArray,
    sides: NDArray,
    ranges: NDArray,
    stride: float,
    seed: int,
) -> ChipArrays:
    """Chips full of proposals that no positive chip covers, as :func:`positive_chips` gives them.

    Args:
        proposals: (P, 4) float64, image frame.
        positives: (N, 4) float64 positive chips, image frame.
        positive_scales: (N,) int64 their scales.
        least: (S,) int64, smallest number of newly covered proposals that is worth a chip.
        width: Image width; this and what follows as in :func:`positive_chips`.
        height: Image height.
        factors: (S,)
        sides: (S,)
        ranges: (S, 2)
        stride: Stride of the window grid in network pixels.
        seed: Shifts the grid and breaks ties; ``ROW_MAJOR`` does neither.
    """
    boxes = clipped(proposals, width, height)
    wanted = uncovered_proposals(boxes, positives, positive_scales, ranges, sides)
    return _cover_scales(boxes, wanted, least, width, height, stride / factors, sides, seed)


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
    steps: NDArray,
    sides: NDArray,
    seed: int,
) -> ChipArrays:
    """Greedy cover of each scale's wanted boxes, (S, M) bool, by windows that newly cover at least (S,) of them."""
    windows = np.empty((wanted.sum(), 4), np.float32)
    scale_idx = np.empty(len(windows), np.int64)
    n = 0
    for s in range(len(sides)):
        if wanted[s].sum() >= least[s]:
            found = _cover(boxes[wanted[s]], width, height, sides[s], steps[s], least[s], branch(seed, s))
            stop = n + len(found)
            windows[n:stop], scale_idx[n:stop] = found, s
            n = stop
    return windows[:n], scale_idx[:n]


@compiled
def _cover(boxes: NDArray, width: int, height: int, side: int, step: float, least: int, seed: int) -> NDArray[np.int64]:
    """Greedy cover at one scale: (K, 4) windows inside the image."""
    xs = window_origins(boxes[:, 0], boxes[:, 2], width, side, step, branch(seed, 0))
    ys = window_origins(boxes[:, 1], boxes[:, 3], height, side, step, branch(seed, 1))
    x_first, x_stop = enclosing_windows(boxes[:, 0], boxes[:, 2], xs, min(side, width))
    y_first, y_stop = enclosing_windows(boxes[:, 1], boxes[:, 3], ys, min(side, height))
    chosen = greedy_cover(x_first, x_stop, y_first, y_stop, (len(ys), len(xs)), least, seed)
    windows = np.empty((len(chosen), 4), np.int64)
    for k in range(len(chosen)):
        x, y = xs[chosen[k] % len(xs)], ys[chosen[k] // len(xs)]
        windows[k, 0], windows[k, 1] = x, y
        windows[k, 2], windows[k, 3] = min(x + side, width), min(y + side, height)
    return windows
