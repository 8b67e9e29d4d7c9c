"""How good a plan is: what it shows the network, and what that costs.

Shapes: I images, T objects, S scales, A anchors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..chips import VALID, BoxTable, ChipPlan, ChipPlanner, PlanLabels, resized_pixels
from ..chips.scales import Scale, scale_factor

COMFORTABLE = 0.5
# Twice the pixels are worth so much of the objects at a comfortable size: at equal pixels they are half the epochs.
PIXELS = 0.06
# Fewer than this share of the single scale's pixels gain nothing: a network wants to see each image often, not all day.
FEWEST_PIXELS = 0.25
# Pixels of the test pyramid cost time, but no epochs.
TEST_PIXELS = 0.01
# Objects seen in two chips or more, at two sizes or in two places, are learnt better than those seen in one.
TWICE = 0.05
# Objects that no chip teaches are missing from the comfort already, and are false background besides.
UNSEEN = 1.0
# Up to this zoom an object counts with the size it is shown at; beyond, interpolation adds no detail, so the root does.
DETAIL = 2.0
# Anchors are not asked for larger objects than this to be well seen: COCO's AP hardly grows beyond twice as much.
LARGEST_FIRST_ANCHOR = 32.0


@dataclass(frozen=True)
class Score:
    """A plan's score, and what it is made of. Shares are of objects, weighted by class.

    Attributes:
        total: The score.
        comfort: Mean comfort of the objects, each at the best size at which it is learnt, 0 to 1.
        comfortable: Share with a comfort of 0.5 or more.
        seen: Share valid in one chip or more.
        twice: Share valid in two chips or more at a comfort of 0.5 or more.
        fit: Share whose best size some anchor fits by a factor of 1.41 or less.
        sizes: (T,) float64, best size at which each object is learnt, network pixels; nan if none.
        pixels: Of an epoch, against one pass over the images at the single scale.
        test_pixels: Of a test at all scales, likewise.
        chips_per_image: Chips per image and epoch.
        chips_by_scale: (S,) the same, by scale.
        objects_by_scale: (S,) share of objects that are learnt at each scale.
    """

    total: float
    comfort: float
    comfortable: float
    seen: float
    twice: float
    fit: float
    sizes: NDArray[np.float64]
    pixels: float
    test_pixels: float
    chips_per_image: float
    chips_by_scale: list[float]
    objects_by_scale: list[float]


def comfort(
    sizes: NDArray[np.float64], anchors: NDArray[np.float64], chip_size: float | None = None
) -> NDArray[np.float64]:
    """How well a network sees objects of a size: 0, not at all, to 1.

    Three things limit it, and the product of them counts:

    - *Pixels.* It grows with the logarithm of the size, from 0 at a quarter of the smallest anchor to 1 at twice the
      smallest anchor (8 and 64 px for anchors from 32 px): about as AP grows with the size of objects on COCO.
    - *Room.* Objects beyond half of a chip's side leave no surroundings to tell them from, and are often cut: 1 up to
      there, 0.5 at the whole side, 0 beyond.
    - *Anchors.* 1 where the nearest anchor has an IoU of 0.5 or more with a box of its shape, less between anchors that
      are more than a factor of 2 apart and beyond the largest.

    Args:
        sizes: (T,) sqrt(area) in network pixels; nan = not seen.
        anchors: (A,) sizes of the anchors, ascending.
        chip_size: Side of the chip in network pixels; None = whole images.

    Returns:
        (T,) comfort.
    """
    first = min(anchors[0], LARGEST_FIRST_ANCHOR)
    sizes = np.where(np.isnan(sizes), 1e-9, np.maximum(sizes, 1e-9))
    pixels = np.clip(np.log(4 * sizes / first) / np.log(8), 0, 1)
    room = np.ones_like(sizes)
    if chip_size is not None:
        room = np.where(sizes <= chip_size, np.clip(1.5 - sizes / chip_size, 0.5, 1), 0)
    # Below the first anchor, "pixels" tells already.
    overlap = anchor_iou(np.maximum(sizes, first), anchors)
    return pixels * room * np.minimum(overlap / 0.5, 1)


def anchor_iou(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each size with the nearest anchor, both centred and of one shape: (T,), (A,) -> (T,)."""
    logs = np.log(anchors)
    at = np.searchsorted((logs[1:] + logs[:-1]) / 2, np.log(sizes))
    return np.exp(-2 * np.abs(np.log(sizes) - logs[at]))


def score_plan(
    planner: ChipPlanner,
    table: BoxTable,
    weights: NDArray[np.float64],
    anchors: NDArray[np.float64],
    single_pixels: float,
    divisor: int = 32,
) -> Score:
    """Plan an epoch of the real annotations and score what the network will see.

    ``score = comfort + 0.05 * twice - unseen - 0.06 * log2(pixels) - 0.01 * log2(test pixels)``

    *Comfort* is the weighted mean over objects of :func:`comfort` at the best size at which a chip of the plan teaches
    them (0 if none does); *twice* the share of objects that two chips or more teach at a comfort of 0.5 or more;
    *unseen* that of objects which no chip teaches; *pixels* those of the plan against one pass over the images at a
    single scale, less than a quarter counting as a quarter. So a plan may cost twice the pixels if it brings 6 % of the
    objects from useless to well seen. An object that is enlarged more than twice counts as one of twice its size times
    the root of what is beyond: interpolation adds no detail. The weights are judgement;
    ``benchmarks/suggest.py`` trains what wins against fixed recipes.

    Args:
        planner: Makes the plan.
        table: The objects.
        weights: (T,) what each object counts for, in sum 1.
        anchors: (A,) sizes of the network's anchors.
        single_pixels: Mean network pixels per image of the single scale.
        divisor: Canvases are padded to a multiple of it.
    """
    plan = ChipPlan.draw(planner, table, seed=0, epoch=0, empty_chips=1)
    labels = PlanLabels.of_plan(planner, table, plan)
    valid = labels.label == VALID
    box, size = labels.box[valid], labels.size[valid]
    zoom = plan.chips.scale[labels.chip[valid]]
    worth = comfort(size * detail(zoom), anchors, planner.chip_size)
    best = np.zeros(len(table.bboxes))
    np.maximum.at(best, box, worth)
    sizes = np.full(len(table.bboxes), np.nan)
    order = np.argsort(worth, kind='stable')  # the last one written is the best
    sizes[box[order]] = size[order]
    n_scales = len(planner.scales)
    chips_by_scale = np.bincount(plan.chips.scale_idx, minlength=n_scales) / len(table)
    of_scale = plan.chips.scale_idx[labels.chip[valid]]
    objects_by_scale = [weights[np.unique(box[of_scale == s])].sum() for s in range(n_scales)]
    pixels = len(plan) * planner.chip_size**2 / len(table) / single_pixels
    test_pixels = len(planner.scales) * resized_pixels(table.sizes, planner.scales, divisor) / single_pixels
    # Weights are in sum 1 but for rounding.
    seen = min(float(weights[labels.times_valid >= 1].sum()), 1.0)
    well = np.bincount(box[worth >= COMFORTABLE], minlength=len(weights))
    twice = float(weights[well >= 2].sum())
    mean = float(weights @ best)
    fits = anchor_iou(np.where(np.isnan(sizes), 1e-9, np.maximum(sizes, 1e-9)), anchors) >= 0.5
    return Score(
        total=mean + TWICE * twice - UNSEEN * (1 - seen) - cost(pixels, test_pixels),
        comfort=mean,
        comfortable=float(weights[best >= COMFORTABLE].sum()),
        seen=seen,
        twice=twice,
        fit=float(weights[fits].sum()),
        sizes=sizes,
        pixels=float(pixels),
        test_pixels=float(test_pixels),
        chips_per_image=len(plan) / len(table),
        chips_by_scale=chips_by_scale.tolist(),
        objects_by_scale=[float(share) for share in objects_by_scale],
    )


def score_single(
    scale: Scale,
    table: BoxTable,
    sizes: NDArray[np.float64],
    weights: NDArray[np.float64],
    anchors: NDArray[np.float64],
    single_pixels: float,
    divisor: int = 32,
) -> Score:
    """Score plain training on whole images at one scale, by the measure of :func:`score_plan`.

    Args:
        scale: Zoom factor, or (long edge, short edge).
        table: The objects.
        sizes: (T,) sqrt(area) of each, image pixels.
        weights: (T,) what each object counts for, in sum 1.
        anchors: (A,) sizes of the network's anchors.
        single_pixels: As in :func:`score_plan`.
        divisor: As in :func:`score_plan`.
    """
    factors = np.array([scale_factor(scale, *size) for size in table.sizes.tolist()])
    zoom = np.repeat(factors, np.diff(table.start))
    seen = sizes * zoom
    worth = comfort(seen * detail(zoom), anchors)
    pixels = resized_pixels(table.sizes, [scale], divisor) / single_pixels
    mean = float(weights @ worth)
    return Score(
        total=mean - cost(pixels, pixels),
        comfort=mean,
        comfortable=float(weights[worth >= COMFORTABLE].sum()),
        seen=1.0,
        twice=0.0,
        fit=float(weights[anchor_iou(np.maximum(seen, 1e-9), anchors) >= 0.5].sum()),
        sizes=seen,
        pixels=float(pixels),
        test_pixels=float(pixels),
        chips_per_image=1.0,
        chips_by_scale=[1.0],
        objects_by_scale=[1.0],
    )


def cost(pixels: float, test_pixels: float) -> float:
    """What pixels take from the score; see :func:`score_plan`."""
    train, test = (np.log2(max(count, FEWEST_PIXELS)) for count in (pixels, test_pixels))
    return float(PIXELS * train + TEST_PIXELS * test)


def detail(zoom: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of an object's size for the score when it is enlarged so much."""
    return np.sqrt(DETAIL / np.maximum(zoom, DETAIL))
