"""Pyramids worth trying on a data set: how many scales, which, and where one hands over to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..chips import BoxTable, ChipPlanner
from ..chips.scales import Scale
from .base import Base
from .fingerprint import object_sizes

ZOOMS = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)
MOST_SCALES = 4
# Neighbouring scales that are closer show nearly the same.
LEAST_STEP = 1.5
# A scale's largest object, of a chip's side: with its surroundings it still fits wherever the grid lies.
LARGEST = 0.5
# Where the next coarser scale begins, of where the finer one ends: the smaller, the more objects are learnt at both.
OVERLAPS = (0.4, 0.65, 0.9)
# Chips of other sizes than the base's, as multiples of it.
CHIPS = (1.0, 1.5)


def candidates(table: BoxTable, base: Base) -> Iterator[ChipPlanner]:
    """Planners for one to four scales, for all but the most extreme 1 % of the objects.

    The finest scale is a zoom that brings the smallest objects to a comfortable size or less, the coarsest one that
    makes the largest fit a chip or less: a zoom, too, or the whole image in a chip. Between them lie scales at equal
    steps. A scale ends where its objects have half of a chip's side. The finest and the coarsest have objects to learn.

    Args:
        table: The objects.
        base: The base config; its chips may be 1.5 times as large.
    """
    smallest, small, large, largest = np.quantile(object_sizes(table), [0, 0.01, 0.99, 1])
    first = base.anchors[0]
    for times in CHIPS:
        chip_size = int(times * base.chip_size)
        whole = float(np.median(chip_size / table.sizes.max(1)))
        zooms = [zoom for zoom in ZOOMS if zoom * small <= 3 * first and zoom * large >= first / 2] or [1.0]
        ends: list[tuple[float, Scale]] = [(zoom, zoom) for zoom in zooms]
        ends.append((whole, (chip_size, chip_size)))
        for n_scales in range(1, MOST_SCALES + 1):
            for factors, scales in pyramids(n_scales, zooms, ends):
                # A scale without an overlap to choose is one plan.
                for overlap in OVERLAPS if n_scales > 1 else OVERLAPS[:1]:
                    ranges = valid_ranges(factors, chip_size, overlap)
                    if ranges is not None and smallest < (ranges[0][1] or np.inf) and (ranges[-1][0] or 0) <= largest:
                        yield ChipPlanner(list(scales), ranges, chip_size, base.stride * chip_size / base.chip_size)


def pyramids(
    n_scales: int, zooms: Sequence[float], ends: Sequence[tuple[float, Scale]]
) -> Iterator[tuple[NDArray[np.float64], list[Scale]]]:
    """Zooms, descending, and scales of all pyramids of so many scales.

    Args:
        n_scales: How many.
        zooms: The finest scale is one of them.
        ends: What the coarsest may be, each with its zoom.
    """
    if n_scales == 1:
        for zoom, scale in ends:
            yield np.array([zoom]), [scale]
        return
    for zoom in zooms:
        for coarsest, scale in ends:
            if coarsest * LEAST_STEP ** (n_scales - 1) <= zoom:
                factors = np.geomspace(zoom, coarsest, n_scales)
                factors[1:-1] = [float(f'{factor:.2g}') for factor in factors[1:-1]]
                yield factors, [*factors[:-1].tolist(), scale]


def valid_ranges(
    factors: NDArray[np.float64], chip_size: int, overlap: float
) -> list[tuple[float | None, float | None]] | None:
    """Training ranges of a pyramid, image pixels; None if a range is empty.

    Args:
        factors: (S,) zooms, descending.
        chip_size: Network pixels.
        overlap: Where a scale begins, of where the finer one ends.
    """
    ends = [rounded(LARGEST * chip_size / factor) for factor in factors[:-1]]
    starts = [rounded(overlap * end) for end in ends]
    ranges = list(zip([None, *starts], [*ends, None], strict=True))
    return ranges if all(lo is None or hi is None or lo < hi for lo, hi in ranges) else None


def rounded(size: float) -> int:
    """A size in pixels to two digits, as people write them."""
    return max(int(float(f'{size:.2g}')), 1)
