"""Scales of the pyramid, the chips they mean on an image, and which boxes are valid at which scale (SNIPER, sec. 3.1).

Shapes: S scales, M boxes. Everything in image pixels unless it says network pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

Scale = float | tuple[float, float]
NUMBER = (int, float, np.integer, np.floating)

# A box with a shorter side, in image pixels, carries no pixels worth learning and is never planned for.
MIN_USABLE_SIDE = 2.0


def scale_factor(scale: Scale, width: float, height: float) -> float:
    """Network pixels per image pixel that `scale` means for one image.

    Args:
        scale: A zoom factor, or a pair of edges: the image grows until the long edge meets the larger number or the
            short edge the smaller, as mmdet's ``Resize`` with ``keep_ratio=True``.
        width: Image width.
        height: Image height.
    """
    if isinstance(scale, tuple):
        return min(max(scale) / max(width, height), min(scale) / min(width, height))
    return float(scale)


def scale_name(scale: Scale) -> str:
    """A scale as a config says it: '1.667', or '2000 x 1400'."""
    return f'{scale[0]:g} x {scale[1]:g}' if isinstance(scale, tuple) else f'{scale:g}'


def chip_sides(factors: NDArray[np.float64], chip_size: int) -> NDArray[np.int64]:
    """Sides of chips in whole image pixels, of any shape.

    A chip is cut on pixel borders: pixels, boxes and masks then agree without rounding. The price is a zoom that is
    smaller than the factor by less than one image pixel per chip (0.2 % at factor 3 and chip size 512).
    """
    return np.ceil(chip_size / factors - 1e-6).astype(np.int64)


def check_scales(scales: Sequence[Scale]) -> tuple[Scale, ...]:
    """Scales in canonical form: floats and pairs of floats.

    Raises:
        ValueError: If there is none, or one is neither a positive number nor a pair of positive numbers.
    """
    if not isinstance(scales, (list, tuple)) or len(scales) == 0:
        raise ValueError(
            f'scales must be a list with at least one scale, such as [3.0, 1.667, (512, 512)]; got {scales!r}'
        )
    checked: list[Scale] = []
    for i, scale in enumerate(scales):
        values = list(scale) if isinstance(scale, (tuple, list)) else [scale]
        good = all(isinstance(v, NUMBER) and not isinstance(v, bool) and 0 < v < math.inf for v in values)
        if not good or (isinstance(scale, (tuple, list)) and len(values) != 2):
            raise ValueError(
                f'scales[{i}] is {scale!r}: write a zoom factor such as 1.667, or a pair (long edge, short edge) '
                'in pixels such as (2000, 1400)'
            )
        checked.append((float(values[0]), float(values[1])) if len(values) == 2 else float(values[0]))
    return tuple(checked)


def check_valid_ranges(
    valid_ranges: Sequence[Sequence[float | None]], scales: tuple[Scale, ...], chip_size: int
) -> NDArray[np.float64]:
    """Valid ranges as (S, 2) float64 on sqrt(area) in image pixels, half-open, with open ends as 0 and inf.

    Raises:
        ValueError: If they are malformed (see :func:`check_ranges`), or no chip can hold a range's smallest object.
    """
    ranges = check_ranges(valid_ranges, scales, 'valid_ranges')
    for i, (factor, low) in enumerate(zip(scales, ranges[:, 0].tolist(), strict=True)):
        if not isinstance(factor, tuple) and low * factor >= chip_size:
            raise ValueError(
                f'valid_ranges[{i}] = {tuple(valid_ranges[i])} starts at {low:g} image pixels, which is '
                f'{low * factor:g} network pixels at scale {factor:g}: no chip of {chip_size} can hold it; lower the '
                'range or the scale'
            )
    return ranges


def check_ranges(given: Sequence[Sequence[float | None]], scales: tuple[Scale, ...], name: str) -> NDArray[np.float64]:
    """Ranges of sizes, one per scale, as (S, 2) float64, half-open, with open ends as 0 and inf.

    Args:
        given: Per scale (lo, hi), None for an open end.
        scales: The scales.
        name: What a config calls them, for messages.

    Raises:
        ValueError: If the number of ranges is not the number of scales, a range is malformed or empty, or a size lies
            in no range (objects of that size would never be seen).
    """
    if not isinstance(given, (list, tuple)) or len(given) != len(scales):
        raise ValueError(
            f'{len(scales)} scales but {len(given) if given else "no"} {name}: give a list with one (lo, hi) per '
            f'scale; scales={list(scales)}, {name}={given}'
        )
    ranges = np.zeros((len(scales), 2))
    for i, pair in enumerate(given):
        numbers = isinstance(pair, (tuple, list)) and all(v is None or isinstance(v, NUMBER) for v in pair)
        if not numbers or len(pair) != 2:
            raise ValueError(f'{name}[{i}] is {pair!r}: write (lo, hi), with None for an open end')
        low, high = (default if v is None else float(v) for v, default in zip(pair, (0.0, math.inf), strict=True))
        if not 0 <= low < high:
            raise ValueError(f'{name}[{i}] is {tuple(pair)}: lo must be >= 0 and less than hi')
        ranges[i] = low, high
    reached = 0.0
    for low, high in sorted(ranges.tolist()):
        if low > reached:
            break
        reached = max(reached, high)
    if reached < math.inf:
        above = ranges[ranges[:, 0] > reached, 0]
        until = f'{above.min():g}' if len(above) else 'infinity'
        raise ValueError(
            f'{name} {list(given)} leave a gap: objects with sqrt(width * height) from {reached:g} to {until} belong '
            'to no scale; widen a range (None is an open end)'
        )
    return ranges


@compiled
def assign_scales(bboxes: NDArray, ranges: NDArray, factors: NDArray, sides: NDArray) -> tuple[NDArray, NDArray]:
    """Where each box is to be learnt, and where a chip must be cut for it.

    Args:
        bboxes: (M, 4) float64, image frame, clipped to the image.
        ranges: (S, 2) valid ranges on sqrt(area), image pixels.
        factors: (S,) scale factors.
        sides: (S,) side of a chip in image pixels.

    Returns:
        valid: (S, M) bool. The box's size is in the scale's range, or the scale rescues the box.
        planned: (S, M) bool. Valid, and some chip of this scale encloses the whole box.

    A scale *rescues* a usable box when no scale in whose range it lies can enclose it, and this is the finest that
    can: long thin objects, which the authors' code never trains, are learnt there.
    """
    n_scales, n_boxes = len(factors), len(bboxes)
    valid = np.zeros((n_scales, n_boxes), np.bool_)
    planned = np.zeros((n_scales, n_boxes), np.bool_)
    for m in range(n_boxes):
        x1, y1, x2, y2 = bboxes[m, 0], bboxes[m, 1], bboxes[m, 2], bboxes[m, 3]
        if x2 - x1 < MIN_USABLE_SIDE or y2 - y1 < MIN_USABLE_SIDE:
            continue
        size = np.sqrt((x2 - x1) * (y2 - y1))
        hull = max(np.ceil(x2) - np.floor(x1), np.ceil(y2) - np.floor(y1))
        enclosed, rescuer = False, -1
        for s in range(n_scales):
            valid[s, m] = ranges[s, 0] <= size < ranges[s, 1]
            planned[s, m] = valid[s, m] and hull <= sides[s]
            enclosed |= planned[s, m]
            if hull <= sides[s] and (rescuer < 0 or factors[s] > factors[rescuer]):
                rescuer = s
        if not enclosed and rescuer >= 0:
            valid[rescuer, m] = planned[rescuer, m] = True
    return valid, planned
