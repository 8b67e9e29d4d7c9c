"""Scales and ranges to test at, from those of training: a scale answers for what it was taught (SNIPER, sec. 3.4).

Shapes: S scales. Sizes are sqrt(width * height) in image pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .planner import ChipPlanner
from .scales import Scale, scale_factor

# The paper's recipe: what it trains on, and what it tests at.
PAPER_TRAINED: tuple[Scale, ...] = (3.0, 1.667, (512.0, 512.0))
PAPER_VALID = ((0.0, 80.0), (32.0, 150.0), (120.0, np.inf))
PAPER_SCALES: tuple[Scale, ...] = ((2000.0, 1400.0), (1280.0, 800.0), (512.0, 480.0))
PAPER_RANGES = ((0.0, 90.0), (32.0, 180.0), (75.0, np.inf))

# What is detected beside an object that is just in range has a size just out of it.
WIDER = 1.2
# A detector stands a zoom and sizes that differ from training's by so much: the paper's own ranges do, by 1.6.
ZOOM_SLACK, SIZE_SLACK = 1.5, 1.8


class Untaught(NamedTuple):
    """Sizes that a scale answers for, but was not taught.

    Attributes:
        scale_idx: The scale.
        zoom: Its zoom on the image.
        low: The smallest such size, image pixels.
        high: The largest.
        taught_at: Zooms at which training shows objects of the size in the middle, ascending.
    """

    scale_idx: int
    zoom: float
    low: float
    high: float
    taught_at: list[float]


def inference_pyramid(planner: ChipPlanner) -> tuple[tuple[Scale, ...], NDArray[np.float64]]:
    """Scales and ranges to test a detector at.

    The scales are those of training, and each range ends a fifth beyond training's on either side; the paper's own, for
    the paper's planner.

    Args:
        planner: What it is trained with.

    Returns:
        The scales, and (S, 2) float64 ranges, half-open, with open ends as 0 and inf.
    """
    if planner.scales == PAPER_TRAINED and np.array_equal(planner.valid_ranges, PAPER_VALID):
        return PAPER_SCALES, np.array(PAPER_RANGES)
    return planner.scales, planner.valid_ranges * [1 / WIDER, WIDER]


def untaught_sizes(
    planner: ChipPlanner, scales: tuple[Scale, ...], ranges: NDArray[np.float64], image_size: tuple[int, int]
) -> list[Untaught]:
    """Where a test pyramid answers for sizes that training showed at another zoom, or not at all.

    Args:
        planner: What the detector is trained with.
        scales: S scales to test at.
        ranges: (S, 2) sizes that each of them answers for.
        image_size: (width, height) of an image, which says what zoom a pair of edges means.

    Returns:
        At most one per scale.
    """
    sizes = np.geomspace(4.0, max(np.sqrt(image_size[0] * image_size[1]), 8.0), 200)
    taught_at = np.array([scale_factor(scale, *image_size) for scale in planner.scales])
    shown = _within(sizes, planner.valid_ranges)
    nearly_shown = _within(sizes, planner.valid_ranges * [1 / SIZE_SLACK, SIZE_SLACK])
    found = []
    for i, (scale, answers) in enumerate(zip(scales, _within(sizes, ranges), strict=True)):
        zoom = scale_factor(scale, *image_size)
        near = np.abs(np.log(zoom / taught_at)) <= np.log(ZOOM_SLACK)
        bad = np.flatnonzero(answers & ~nearly_shown[near].any(0))
        if len(bad):
            middle = shown[:, bad[len(bad) // 2]]
            found.append(Untaught(i, zoom, float(sizes[bad[0]]), float(sizes[bad[-1]]), sorted(taught_at[middle])))
    return found


def _within(sizes: NDArray[np.float64], ranges: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(S, N) bool: which of N sizes are in which range."""
    return (sizes >= ranges[:, :1]) & (sizes < ranges[:, 1:])
