"""Histograms that a person can read: bins of whole numbers, and of sizes by powers of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 13


def whole_bins(values: NDArray[np.integer], most: int = MOST_BINS) -> dict:
    """How often numbers occur: 0 by itself, then 1, 2, ... or equal steps of several; from the first that occurs.

    Args:
        values: (N,) whole numbers >= 0.
        most: Bins there may be.

    Returns:
        ``labels`` ('0', '1 to 5', ...) and ``counts``, of equal length.
    """
    largest = int(values.max(initial=0))
    steps = (factor * 10**power for power in range(19) for factor in (1, 2, 5))
    step = next(step for step in steps if -(-largest // step) < most)
    bins = -(-values // step)  # 0, then 1 to step, step + 1 to 2 step, ...
    counts = np.bincount(bins.astype(np.int64), minlength=1).tolist()
    labels = ['0'] + [f'{n * step + 1} to {(n + 1) * step}' if step > 1 else str(n + 1) for n in range(len(counts) - 1)]
    first = next((n for n, count in enumerate(counts) if count), 0)
    return dict(labels=labels[first:], counts=counts[first:])


def size_edges(*sizes: NDArray[np.floating], per_octave: int = 2) -> list[float]:
    """Edges between which all sizes lie, `per_octave` to each power of two; from 1 on, two at least.

    Args:
        *sizes: Arrays of sizes in pixels; what is under 1 belongs to the first bin.
        per_octave: Bins in which a size doubles.
    """
    logs = [np.log2(values[values >= 1]) for values in sizes if (values >= 1).any()]
    low = int(np.floor(min((values.min() for values in logs), default=0)))
    high = int(np.floor(max((values.max() for values in logs), default=0))) + 1
    return [float(2 ** (low + n / per_octave)) for n in range((high - low) * per_octave + 1)]


def size_counts(values: NDArray[np.floating], edges: list[float]) -> list[int]:
    """How many sizes lie between each edge and the next; what is beyond belongs to the first and the last."""
    inside = np.clip(np.searchsorted(edges, values, side='right') - 1, 0, len(edges) - 2)
    return np.bincount(inside, minlength=len(edges) - 1).tolist()


def quantiles(values: NDArray[np.floating]) -> dict[str, float] | None:
    """5th, 50th and 95th percentile, and how often the first doubles to give the last; None of nothing."""
    if not len(values):
        return None
    low, middle, high = np.percentile(values, [5, 50, 95]).tolist()
    return dict(p5=low, median=middle, p95=high, octaves=float(np.log2(high / low)) if low > 0 else None)
