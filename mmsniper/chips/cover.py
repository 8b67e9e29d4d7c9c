"""Greedy cover of boxes by windows on a stride grid (SNIPER, sec. 3.2 and 3.3).

Shapes: M boxes, X and Y window origins along the axes, K chosen windows. Image pixels.

The windows that enclose a box form a rectangle of window indices. Adding every box's rectangle to a grid of counts
tells how many boxes each window encloses; choosing a window subtracts the rectangles of what it covers. The cost
follows the boxes and the windows they touch, never windows x boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

ROW_MAJOR = np.int64(-1)


@compiled
def mix(seed: int, value: int) -> np.int64:
    """A well-mixed non-negative 63-bit number from (seed, value): SplitMix64's finaliser. The same everywhere."""
    z = np.uint64(seed) + np.uint64(value + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64(z >> np.uint64(1))


@compiled
def branch(seed: int, value: int) -> np.int64 | int:
    """A seed of its own for one of several draws; ``ROW_MAJOR`` for all as it is."""
    return seed if seed == ROW_MAJOR else mix(seed, value)


@compiled
def window_origins(
    starts: NDArray, ends: NDArray, length: int, window: int, step: float, seed: int
) -> NDArray[np.int64]:
    """Origins of windows along one axis, such that every box that fits a window has one that encloses it.

    Args:
        starts: (M,) lower edges of the boxes, in [0, length].
        ends: (M,) upper edges.
        length: Image length along the axis.
        window: Side of a window.
        step: Stride of the grid in image pixels.
        seed: Shifts the grid by a random part of the step; ``ROW_MAJOR`` leaves it at 0.

    Returns:
        Sorted, unique origins: 0, the grid, the last one flush with the border, and one at the lower edge of each box
        that falls between grid lines.
    """
    last = length - window
    if last <= 0:
        return np.zeros(1, np.int64)
    shift = 0.0 if seed == ROW_MAJOR else step * (mix(seed, 0) / 2.0**63)
    n_grid = max(int(np.ceil((last - shift) / step)), 0)
    grid = np.empty(n_grid + 2, np.int64)
    grid[0] = 0
    for k in range(n_grid):
        grid[k + 1] = min(int(round(shift + k * step)), last)
    grid[n_grid + 1] = last
    extra = np.empty(len(starts), np.int64)
    n_extra = 0
    for m in range(len(starts)):
        start = np.floor(starts[m])
        # The last grid origin at or before the box reaches farthest; where that one is too short, all are.
        if grid[np.searchsorted(grid, start, side='right') - 1] + window < ends[m]:
            extra[n_extra] = min(int(start), last)
            n_extra += 1
    return np.unique(np.concatenate((grid, extra[:n_extra])))


@compiled
def enclosing_windows(
    starts: NDArray, ends: NDArray, origins: NDArray, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per box the half-open range of origin indices whose windows enclose it on this axis: two (M,) arrays."""
    return np.searchsorted(origins, ends - window, side='left'), np.searchsorted(origins, starts, side='right')


@compiled
def greedy_cover(
    x_first: NDArray, x_stop: NDArray, y_first: NDArray, y_stop: NDArray, shape: tuple[int, int], least: int, seed: int
) -> NDArray[np.int64]:
    """Choose windows, most uncovered boxes first, until none is left that encloses at least `least` of them.

    Args:
        x_first: (M,) first column of windows that enclose the box; `x_stop`, `y_first`, `y_stop` likewise, half-open.
        x_stop: (M,)
        y_first: (M,)
        y_stop: (M,)
        shape: (Y, X), the grid of windows.
        least: Smallest count of uncovered boxes that is worth a window, >= 1.
        seed: Ties go to a random window; with ``ROW_MAJOR`` to the first one in row-major order.

    Returns:
        (K,) row-major indices of the chosen windows, in the order of choice.
    """
    n_cols = shape[1]
    order = np.argsort(y_first)
    x_first, x_stop, y_first, y_stop = x_first[order], x_stop[order], y_first[order], y_stop[order]
    counts = np.zeros(shape[0] * n_cols, np.int32)
    tallest = 0
    for m in range(len(order)):
        tallest = max(tallest, y_stop[m] - y_first[m])
        _add_rectangle(counts, n_cols, x_first[m], x_stop[m], y_first[m], y_stop[m], 1)

    # Counts only fall, so windows sorted into one list per count are visited from the highest count downwards; one
    # whose count has fallen meanwhile moves to a lower list. `follower` chains the windows of a list.
    head = np.full(len(order) + 1, -1, np.int64)
    follower = np.empty(len(counts), np.int64)
    seen = np.zeros(len(counts), np.bool_)
    for m in range(len(order)):
        for y in range(y_first[m], y_stop[m]):
            for window in range(y * n_cols + x_first[m], y * n_cols + x_stop[m]):
                if not seen[window]:
                    seen[window] = True
                    follower[window] = head[counts[window]]
                    head[counts[window]] = window

    covered = np.zeros(len(order), np.bool_)
    chosen = np.empty(len(order), np.int64)
    n_chosen = 0
    for level in range(len(order), least - 1, -1):
        for window in _in_tie_order(level, head, follower, counts, seed):
            if counts[window] < level:
                follower[window] = head[counts[window]]
                head[counts[window]] = window
                continue
            chosen[n_chosen] = window
            n_chosen += 1
            y, x = window // n_cols, window % n_cols
            for m in range(np.searchsorted(y_first, y - tallest + 1), len(order)):
                if y_first[m] > y:
                    break
                if not covered[m] and y < y_stop[m] and x_first[m] <= x < x_stop[m]:
                    covered[m] = True
                    _add_rectangle(counts, n_cols, x_first[m], x_stop[m], y_first[m], y_stop[m], -1)
    return chosen[:n_chosen]


@compiled
def _add_rectangle(
    counts: NDArray, n_cols: int, x_first: int, x_stop: int, y_first: int, y_stop: int, amount: int
) -> None:
    for y in range(y_first, y_stop):
        for x in range(x_first, x_stop):
            counts[y * n_cols + x] += amount


@compiled
def _in_tie_order(level: int, head: NDArray, follower: NDArray, counts: NDArray, seed: int) -> NDArray[np.int64]:
    """The windows of one list in the order in which ties are broken; those that have fallen already move on."""
    n, window = 0, head[level]
    while window >= 0:
        n, window = n + (counts[window] == level), follower[window]
    keys = np.empty(n, np.int64)
    mask = 1
    while mask < len(counts):
        mask *= 2
    mask -= 1
    n, window = 0, head[level]
    while window >= 0:
        after = follower[window]
        if counts[window] == level:
            # Random high bits, the window itself in the low ones: one plain sort, and no second array.
            keys[n] = window if seed == ROW_MAJOR else (mix(seed, window) & ~mask) | window
            n += 1
        else:
            follower[window] = head[counts[window]]
            head[counts[window]] = window
        window = after
    keys.sort()
    return keys & mask
