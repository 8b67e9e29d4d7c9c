"""Which chip sizes steps have, and how many chips of each a step takes (Mix & Match, Hoffer et al., 2019).

Shapes: S sizes, K distributions, N steps. A size is the side of a chip in network pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

REGIMES = 'B', 'B+', 'D+'
SCHEDULES = 'in_order', 'alternating', 'decreasing'
# By so much of the budget the pixels of a step may differ from it.
TOLERANCE = 0.05


def read_distribution(given: Sequence | Mapping, name: str = 'sizes') -> dict[int, float]:
    """Shares by size, from pairs or a mapping, whose keys may be text: Python files of configs keep no other.

    Args:
        given: (size, share of the steps) each.
        name: What a config calls it, for messages.

    Raises:
        ValueError: If it is malformed, a size comes twice, or the shares do not add up to 1.
    """
    pairs = list(given.items()) if isinstance(given, Mapping) else given
    example = f'{name}=[(384, 0.3), (512, 0.5), (768, 0.2)]'
    try:
        found = [(int(size), float(share)) for size, share in pairs]
        exact = all(float(size) == int(size) for size, _ in pairs)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f'{name} are pairs of a chip size and its share of the steps: {example}; with a schedule, and only then, a '
            f'list of such lists; got {given}'
        ) from None
    sizes = [size for size, _ in found]
    if not found or not exact or min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise ValueError(
            f'{name}: each size is a whole number of network pixels and comes once: {example}; got {given}'
        )
    if not all(0 < share < math.inf for _, share in found):
        raise ValueError(f'{name}: each share is > 0; leave out a size that is not to come; got {given}')
    total = sum(share for _, share in found)
    if abs(total - 1) > 1e-3:
        fit = [(size, round(share / total, 4)) for size, share in found]
        raise ValueError(f'{name}: the shares add up to {total:g}, not to 1; in the same proportions: {name}={fit}')
    return {size: share / total for size, share in sorted(found)}


def step_contents(
    regime: str, sizes: Sequence[int], batch_size: int, chip_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chips and copies per step of each size: 'B' as many for all; 'B+' as many as go through as many pixels; 'D+' as
    many, of which several are copies of one chip.

    Args:
        regime: Of REGIMES.
        sizes: (S,)
        batch_size: Chips of ``chip_size`` that a step goes through as many pixels as.
        chip_size: The planner's.

    Returns:
        chips: (S,) int64, different chips in one process.
        copies: (S,) int64, how many times each of them comes, differently augmented.

    Raises:
        ValueError: If no whole number of chips comes within 5 % of the pixels; with the batch size that would do.
    """
    chips, copies, off = _contents(regime, sizes, batch_size, chip_size)
    if off.max() > TOLERANCE:
        worst = int(off.argmax())
        size, times = sizes[worst], copies[worst]
        less = fitting_batch(regime, sizes, chip_size, range(batch_size - 1, 0, -1))
        more = fitting_batch(regime, sizes, chip_size, range(batch_size + 1, 10**9))
        of_copies = f' {times} times' if times > 1 else ''
        raise ValueError(
            f'sizes: {batch_size} chips of {chip_size} px (train_dataloader.batch_size, planner.chip_size) have the '
            f'pixels of {batch_size * chip_size**2 / (times * size**2):.2f} of {size} px{of_copies}; {chips[worst]} of '
            f'them are {off[worst]:.0%} off, more than {TOLERANCE:.0%}: write train_dataloader = dict(batch_size='
            f'{" or ".join(str(batch) for batch in (less, more) if batch)})'
        )
    return chips, copies


def fitting_batch(
    regime: str, sizes: Sequence[int], chip_size: int, batches: Iterable[int], least: int = 1
) -> int | None:
    """The first of some batch sizes whose steps keep to their pixels; None if none does.

    Args:
        regime: Of REGIMES.
        sizes: (S,)
        chip_size: The planner's.
        batches: Batch sizes.
        least: Different chips that each step is to have.
    """
    for batch in batches:
        chips, _, off = _contents(regime, sizes, batch, chip_size)
        if off.max() <= TOLERANCE and chips.min() >= least:
            return batch
    return None


def _contents(
    regime: str, sizes: Sequence[int], batch_size: int, chip_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Chips and copies per step of each size, and by which share their pixels, which 'B' does not count, are off."""
    sides = np.array(sizes, np.int64)
    copies = np.ones_like(sides)
    if regime == 'B':
        return np.full(len(sides), batch_size), copies, np.zeros(len(sides))
    if regime == 'D+':  # a copy costs what a chip does
        copies = np.maximum(np.rint((chip_size / sides) ** 2), 1).astype(np.int64)
    budget = batch_size * chip_size**2
    chips = np.rint(budget / (copies * sides**2)).astype(np.int64)
    return chips, copies, np.abs(chips * copies * sides**2 / budget - 1)


def apportion(n: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers in the proportion of (S,) shares, `n` in all; what is left over goes to the largest remainders."""
    exact = n * shares / shares.sum()
    counts = np.floor(exact + 1e-9).astype(np.int64)
    counts[np.argsort(counts - exact, kind='stable')[: n - counts.sum()]] += 1
    return counts


def steps_for(n_chips: int, shares: NDArray[np.float64], chips: NDArray[np.int64]) -> int:
    """The least number of steps, sizes in (S,) shares with (S,) chips each, that have room for so many chips."""
    n = max(1, math.floor(n_chips / (shares @ chips)) - len(shares))
    while apportion(n, shares) @ chips < n_chips:
        n += 1
    return n


def read_schedule(given: Mapping | None) -> tuple[str, int]:
    """Type and number of epochs of a schedule; without one, all epochs are alike.

    Raises:
        ValueError: If it is malformed.
    """
    if given is None:
        return 'in_order', 1
    kind, epochs = given.get('type'), given.get('epochs', 1 if given.get('type') == 'alternating' else None)
    good = isinstance(epochs, int) and not isinstance(epochs, bool) and epochs >= 1 + (kind == 'decreasing')
    if kind not in SCHEDULES or not good or not {*given} <= {'type', 'epochs'}:
        raise ValueError(
            f'schedule has a type, one of {", ".join(map(repr, SCHEDULES))}, and the epochs of the training, '
            f"of 'decreasing' 2 or more: schedule=dict(type='decreasing', epochs=7); got {dict(given)}"
        )
    return kind, epochs


def stage_of(schedule: str, n_stages: int, epochs: int, seed: int, epoch: int) -> int:
    """Which of several distributions an epoch has.

    Args:
        schedule: 'in_order', each for an equal part of the epochs; 'alternating'; or 'decreasing', of two: the first,
            at random, in a share of the epochs that falls in time from all to none.
        n_stages: K.
        epochs: Of the whole training; later ones have the last distribution, but for 'alternating'.
        seed: Seed of the run.
        epoch: From 0.
    """
    if schedule == 'alternating':
        return epoch % n_stages
    if epoch >= epochs:
        return n_stages - 1
    if schedule == 'in_order':
        return epoch * n_stages // epochs
    return int(np.random.default_rng((seed, epoch, 4)).random() >= 1 - epoch / max(epochs - 1, 1))
