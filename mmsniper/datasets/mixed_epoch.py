"""What an epoch of mixed chip sizes shows, step by step.

Shapes: I images, S sizes, N steps, T chips of the epoch, over all ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chips import ChipPlan
from .epoch_order import by_image

# Rooms of sizes are filled alike to one part in two to the power of this.
SHARED_TO = 20


class MixedEpoch(NamedTuple):
    """What comes when.

    Attributes:
        size_idx: (N,) int64, the size of each step.
        stops: (N,) int64, where each step's chips end.
        rows: (T,) int64, rows of the plan, step by step.
        times: (T,) int64, how often the chip has a place in the epoch besides; places of one chip differ in it.
        keep_until: (T,) int64, the last step in which the chip's lane needs its image; -1 = it is not to be kept.
        n_left_out: Chips for which there was no room.
    """

    size_idx: NDArray[np.int64]
    stops: NDArray[np.int64]
    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    keep_until: NDArray[np.int64]
    n_left_out: int = 0


def mixed_epoch(
    plan: ChipPlan,
    numbers: NDArray[np.int64],
    per_step: NDArray[np.int64],
    lanes: int,
    rng: np.random.Generator,
    of_chip: NDArray[np.int64] | None = None,
) -> MixedEpoch:
    """Sizes in random order, and chips dealt to their steps; every chip once, as far as there is room.

    Args:
        plan: The chips.
        numbers: (S,) steps of each size.
        per_step: (S,) chips per step of each size, over all ranks.
        lanes: Every ``lanes``-th step goes on with the same images.
        rng: Source of randomness.
        of_chip: The size of each chip of the plan, -1 = it is not shown; None = any.
    """
    size_idx = rng.permutation(np.repeat(np.arange(len(numbers)), numbers))
    counts, steps = per_step[size_idx], np.arange(len(size_idx))
    if of_chip is None:
        parts = [(np.arange(len(plan)), steps)]
    else:
        parts = [(np.flatnonzero(of_chip == s), steps[size_idx == s]) for s in np.flatnonzero(numbers)]
    found, n_left_out = [], 0
    for candidates, own in parts:
        drawn, times = fill(len(candidates), int(counts[own].sum()), rng)
        rows = candidates[drawn]
        # A chip that comes again does so at another time, with the others of its image.
        order = by_image(plan.image_idx[rows] + (plan.image_idx.max() + 1) * times, counts[own], lanes, rng, own)
        n_left_out += max(len(candidates) - len(rows), 0)
        found.append((np.repeat(own, counts[own]), rows[order.rows], times[order.rows], order.keep_until))
    in_step, *columns = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(in_step, kind='stable')
    return MixedEpoch(size_idx, np.cumsum(counts), *(column[order] for column in columns), n_left_out)


def rest_of(epoch: MixedEpoch, before: MixedEpoch, shown: int, first: int, rng: np.random.Generator) -> MixedEpoch:
    """An epoch whose steps from one on show what another, of other numbers of chips, has not shown.

    What there is more room for is shown twice in the first of these steps, and what there is no room for is left out at
    their start. So from the next step on, the rest of the one is exactly the rest of the other.

    Args:
        epoch: Its steps' sizes and chips count.
        before: The other one.
        shown: How many of its chips were.
        first: The step.
        rng: Draws what is shown twice.
    """
    start = int(epoch.stops[first - 1]) if first else 0
    n, room = len(before.rows) - shown, int(epoch.stops[-1]) - start
    again, times = fill(n, max(room - n, 0), rng)
    at = max(int(epoch.stops[first]) - start - len(again), 0) if room else 0
    rest = shown + np.insert(np.arange(max(n - room, 0), n), at, again)
    # Other times than any that were shown.
    more = np.insert(np.zeros(len(rest) - len(again), np.int64), at, (times + 1) * (before.times.max(initial=0) + 1))
    columns = before.rows[rest], before.times[rest] + more, np.full(len(rest), -1)
    return MixedEpoch(epoch.size_idx, epoch.stops, *(np.append(np.zeros(start, np.int64), one) for one in columns))


def fill(n_chips: int, room: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of so many chips come in an epoch that has room for another number.

    Returns:
        rows: (room,) int64, all of them as often as possible, and some at random once more.
        times: (room,) int64, how often each came before.

    Raises:
        ValueError: If there is room, and no chip.
    """
    if room and not n_chips:
        raise ValueError("keep='zoom': a size has no image with chips, there are too few images; write keep='view'")
    n_chips = max(n_chips, 1)
    whole, rest = divmod(room, n_chips)
    rows = np.concatenate([np.tile(np.arange(n_chips), whole), rng.permutation(n_chips)[:rest]])
    return rows, np.arange(room) // n_chips


def split_images(n_chips: NDArray[np.int64], room: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Which size each image is shown at, at random: (I,) int64.

    Images in random order are dealt to one size after the other, so that all fill their room to nearly the same share.

    Args:
        n_chips: (S, I) chips that an image has at each size.
        room: (S,) chips that an epoch has room for; no image where that is none.
        rng: Source of randomness.
    """
    order = rng.permutation(n_chips.shape[1])
    some = np.flatnonzero(room)
    until = np.cumsum(np.pad(n_chips[some][:, order], ((0, 0), (1, 0))), axis=1)  # chips of the first images

    def stops(share: float) -> list[int]:
        """Where the images of each size end, if it fills such a share of its room, and has one image at least."""
        found = [0]
        for n, s in enumerate(some):
            first = found[-1]
            stop = int(np.searchsorted(until[n], until[n, first] + share * room[s] + 1e-6, side='right')) - 1
            found.append(min(max(stop, first + 1), len(order) - (len(some) - 1 - n)))
        return found

    low, high = 0.0, 1.0
    while stops(high)[-1] < len(order):
        low, high = high, 2 * high
    for _ in range(SHARED_TO):
        middle = (low + high) / 2
        low, high = (low, middle) if stops(middle)[-1] == len(order) else (middle, high)
    size_of = np.empty(len(order), np.int64)
    size_of[order] = np.repeat(some, np.diff(stops(high)))
    return size_of
