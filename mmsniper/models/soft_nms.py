"""Soft-NMS of all classes at once, on the device the boxes are on (Bodla et al., ICCV 2017).

Shapes: N boxes, K kept, E pairs of overlapping boxes.
"""

from __future__ import annotations

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from ..chips.soft_nms import GAUSSIAN, LINEAR, NAIVE, soft_nms_sorted

METHODS = dict(naive=NAIVE, linear=LINEAR, gaussian=GAUSSIAN)
PAIRS_AT_ONCE = 2**23  # compared at a time; ten numbers each: 320 MiB
MOST_PAIRS = 2**24  # of overlapping boxes, kept at a time on a GPU; some 80 bytes each: 1.3 GiB


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    method: str = 'gaussian',
    sigma: float = 0.55,
    iou_threshold: float = 0.3,
    min_score: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Lower the score of a box by its overlap with each better one of its class; the result is mmcv's ``soft_nms``.

    mmcv keeps classes apart by adding a large offset to the boxes, which costs them the last digits; here they stay as
    they are.

    Args:
        boxes: (N, 4) float xyxy.
        scores: (N,) float.
        labels: (N,) int64 >= 0.
        method: 'gaussian', 'linear' or 'naive' (plain NMS).
        sigma: Width of the Gaussian; the paper's code takes 0.55.
        iou_threshold: Overlap above which 'linear' and 'naive' act.
        min_score: Boxes whose score falls below are dropped.

    Returns:
        scores: (K,) lowered, in descending order.
        keep: (K,) int64, the rows they belong to.

    Raises:
        ValueError: If the method is unknown, or sigma is not positive.
    """
    if method not in METHODS:
        raise ValueError(f"soft_nms: method is 'gaussian', 'linear' or 'naive'; got {method!r}")
    if sigma <= 0:
        raise ValueError(f'soft_nms: sigma must be positive; got {sigma!r}')
    rows = (scores >= min_score).nonzero()[:, 0]
    rows = rows[labels[rows].argsort(stable=True)]
    settings = METHODS[method], float(iou_threshold), float(sigma), float(min_score)
    run = _one_by_one if boxes.device.type == 'cpu' else _in_rounds
    lowered, keep = run(boxes[rows].float(), scores[rows].float(), labels[rows], *settings)
    lowered, order = lowered.to(scores.dtype).sort(descending=True, stable=True)
    return lowered, rows[keep[order]]


def _one_by_one(
    boxes: Tensor, scores: Tensor, labels: Tensor, method: int, iou_thr: float, sigma: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """The greedy loop, compiled, for boxes sorted by class."""
    counts = labels.unique_consecutive(return_counts=True)[1]
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    lowered = scores.clone()
    keep = soft_nms_sorted(boxes.numpy(), lowered.numpy(), start.numpy(), method, iou_thr, sigma, min_score)
    keep = torch.from_numpy(keep)
    return lowered[keep], keep


def _in_rounds(
    boxes: Tensor, scores: Tensor, labels: Tensor, method: int, iou_thr: float, sigma: float, min_score: float
) -> tuple[Tensor, Tensor]:
    """The same result in few steps of much work each, for a GPU.

    Scores only ever fall, so a box that beats all it overlaps stays the best of them: all such boxes can be taken at
    once, in any order. More than ``MOST_PAIRS`` overlapping pairs are left to the loop.
    """
    pairs = _overlapping_pairs(boxes, labels)
    if pairs is None:
        on_cpu = _one_by_one(boxes.cpu(), scores.cpu(), labels.cpu(), method, iou_thr, sigma, min_score)
        return on_cpu[0].to(boxes.device), on_cpu[1].to(boxes.device)
    better, worse, iou = pairs
    if method != GAUSSIAN:
        acting = iou > iou_thr
        better, worse, iou = better[acting], worse[acting], iou[acting]
    # Logarithms, so that what several winners take off one box is a sum.
    loss = -iou * iou / sigma if method == GAUSSIAN else (1 - iou if method == LINEAR else 0 * iou).log()
    scores, in_play = scores.clone(), torch.ones_like(scores, dtype=torch.bool)
    taken = ~in_play
    while len(better):
        beaten = torch.zeros_like(in_play)
        wins = (scores[better] > scores[worse]) | ((scores[better] == scores[worse]) & (better < worse))
        beaten[worse[wins]] = True
        winners = in_play & ~beaten
        taken |= winners
        hit = winners[better]
        lost = torch.zeros_like(scores).index_add_(0, worse[hit], loss[hit])
        scores *= lost.exp()
        in_play &= ~winners & (scores >= min_score)
        if method == NAIVE:
            in_play &= lost == 0
        both = in_play[better] & in_play[worse]
        better, worse, loss = better[both], worse[both], loss[both]
    keep = (taken | in_play).nonzero()[:, 0]
    return scores[keep], keep


def _overlapping_pairs(boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Every ordered pair of overlapping boxes of one class: two (E,) int64 of rows, and their IoU (E,).

    None if there are more than ``MOST_PAIRS``.
    """
    found, n_found = [], 0
    step = max(1, PAIRS_AT_ONCE // max(len(boxes), 1))
    for first in range(0, len(boxes), step):
        some = slice(first, first + step)
        iou = bbox_overlaps(boxes[some], boxes) * (labels[some, None] == labels)
        iou.diagonal(first).zero_()
        a, b = iou.nonzero(as_tuple=True)
        n_found += len(a)
        if n_found > MOST_PAIRS:
            return None
        found.append((a + first, b, iou[a, b]))
    if not found:
        return labels, labels, boxes.new_zeros(0)
    a, b, iou = (torch.cat(part) for part in zip(*found, strict=True))
    return a, b, iou
