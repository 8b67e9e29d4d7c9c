"""In which order an epoch shows its chips: at random, or so that every image is loaded once.

Shapes: T chips of the epoch, over all ranks; N steps of all ranks together; B chips per step; L lanes.

A loader's worker w makes batches w, w + W, w + 2W, ... Steps are therefore dealt to L lanes, step n to lane n mod L:
for any number of workers that divides L, one worker makes all of a lane's batches. An image's chips come in steps that
follow each other in one lane, so its worker can keep it, and no two of them in one step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Deal(NamedTuple):
    """How chips are dealt to steps.

    Attributes:
        per_step: B, chips per step, over all ranks.
        lanes: L; None = an image's chips come anywhere.
    """

    per_step: int = 1
    lanes: int | None = None


class EpochOrder(NamedTuple):
    """What comes when.

    Attributes:
        rows: (T,) int64, rows of the plan, step by step.
        keep_until: (T,) int64, the last step in which the chip's lane needs its image; -1 = it is not to be kept.
    """

    rows: NDArray[np.int64]
    keep_until: NDArray[np.int64]


def epoch_order(
    image_idx: NDArray[np.int64], deal: Deal, shuffle: bool, n_shown: int, rng: np.random.Generator
) -> EpochOrder:
    """In which order an epoch shows a plan's chips.

    Args:
        image_idx: (T,) the images of the plan's chips.
        deal: How they are dealt.
        shuffle: At random, or image by image; that leaves the deal out.
        n_shown: How many the epoch has time for. Of an epoch image by image, those left out are drawn at random.
        rng: Source of randomness.
    """
    if shuffle and deal.lanes:
        n_steps = -(-len(image_idx) // deal.per_step)
        counts = np.full(n_steps, deal.per_step)
        counts[-1] -= n_steps * deal.per_step - len(image_idx)
        return by_image(image_idx, counts, deal.lanes, rng)
    rows = rng.permutation(len(image_idx))
    if not shuffle:
        rows = np.sort(rows[:n_shown])
    return EpochOrder(rows, np.full(len(rows), -1))


def by_image(
    image_idx: NDArray[np.int64],
    counts: NDArray[np.int64],
    lanes: int,
    rng: np.random.Generator,
    steps: NDArray[np.int64] | None = None,
) -> EpochOrder:
    """Images in random order, each one's chips in steps of one lane.

    Every place of a step is filled through all steps, lane by lane, before the next place is: chips that follow each
    other in the order of images then come in different steps, if an image has fewer chips than there are steps. An
    image goes on in another lane, and is loaded again, only where a lane ends: some B * L times an epoch.

    Args:
        image_idx: (T,) the images of a plan's chips.
        counts: (N,) chips of each step, over all ranks; T in all.
        lanes: L.
        rng: Source of randomness.
        steps: (N,) the steps' numbers, if they are only some of an epoch's, increasing.
    """
    shuffled = rng.permutation(len(image_idx))
    place = rng.permutation(int(image_idx.max()) + 1)[image_idx[shuffled]]
    chips = shuffled[np.argsort(place, kind='stable')]

    in_step = np.repeat(np.arange(len(counts)) if steps is None else steps, counts)
    place = np.arange(len(chips)) - np.repeat(np.cumsum(counts) - counts, counts)
    turns = np.lexsort((in_step, in_step % lanes, place))

    in_step, images = in_step[turns], image_idx[chips]
    goes_on = (in_step[1:] > in_step[:-1]) & (in_step[1:] % lanes == in_step[:-1] % lanes)
    last = np.flatnonzero(np.append((images[1:] != images[:-1]) | ~goes_on, True))
    keep_until = np.empty_like(turns)
    keep_until[turns] = np.repeat(in_step[last], np.diff(last, prepend=-1))
    rows = np.empty_like(turns)
    rows[turns] = chips
    return EpochOrder(rows, keep_until)
