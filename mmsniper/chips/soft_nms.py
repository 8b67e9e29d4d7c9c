"""Soft-NMS (Bodla et al., ICCV 2017), class by class: the compiled inner loop.

Shapes: N boxes, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2


@compiled
def soft_nms_sorted(
    boxes: NDArray, scores: NDArray, start: NDArray, method: int, iou_thr: float, sigma: float, min_score: float
) -> NDArray:
    """Take the best box, lower the scores of those it overlaps, and so on until none is left.

    Args:
        boxes: (N, 4) xyxy, sorted by class.
        scores: (N,), none below `min_score`; lowered in place.
        start: (C + 1,) int; class c owns rows ``start[c]:start[c + 1]``.
        method: ``NAIVE`` (plain NMS), ``LINEAR`` or ``GAUSSIAN``.
        iou_thr: Overlap above which the first two act.
        sigma: Width of the Gaussian.
        min_score: A box whose score falls below is dropped.

    Returns:
        (K,) int64, the rows that are kept, in the order they were taken in within a class.
    """
    rows = np.arange(len(boxes))
    n_kept = 0
    for c in range(len(start) - 1):
        # rows[taken:left] are in play; those dropped are swapped out behind, so a pass touches what is left only.
        taken, left = start[c], start[c + 1]
        while taken < left:
            best = taken
            for k in range(taken + 1, left):
                better = scores[rows[k]] - scores[rows[best]]
                if better > 0 or (better == 0 and rows[k] < rows[best]):
                    best = k
            rows[taken], rows[best] = rows[best], rows[taken]
            top = boxes[rows[taken]]
            area = (top[2] - top[0]) * (top[3] - top[1])
            taken += 1
            k = taken
            while k < left:
                row = rows[k]
                width = min(top[2], boxes[row, 2]) - max(top[0], boxes[row, 0])
                height = min(top[3], boxes[row, 3]) - max(top[1], boxes[row, 1])
                if width > 0 and height > 0:
                    common = width * height
                    iou = common / (area + (boxes[row, 2] - boxes[row, 0]) * (boxes[row, 3] - boxes[row, 1]) - common)
                    if method == GAUSSIAN:
                        scores[row] *= np.exp(-iou * iou / sigma)
                    elif iou > iou_thr:
                        scores[row] *= 1 - iou if method == LINEAR else 0.0
                    if scores[row] < min_score or (method == NAIVE and iou > iou_thr):
                        left -= 1
                        rows[k], rows[left] = rows[left], rows[k]
                        continue
                k += 1
        first = start[c]
        for k in range(first, taken):
            rows[n_kept] = rows[k]
            n_kept += 1
    return rows[:n_kept]
