"""MixedSizeBatchSampler: batches of several chip sizes (Mix & Match, Hoffer et al., 2019)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray

from ..chips import ChipKey
from ..registry import DATA_SAMPLERS
from .chip_batch_sampler import ChipBatchSampler
from .mixed_epoch import MixedEpoch, mixed_epoch, rest_of, split_images
from .plan_sampler import ChipPlanSampler
from .size_checks import check_shares, check_sizes
from .size_mix import (
    REGIMES,
    apportion,
    read_distribution,
    read_schedule,
    stage_of,
    step_contents,
    steps_for,
)


@DATA_SAMPLERS.register_module()
class MixedSizeBatchSampler(ChipBatchSampler):
    """:class:`ChipBatchSampler` whose batches have several chip sizes, one per batch, drawn at random.

    All epochs have the same number of steps, in which the sizes have their shares exactly; their order is drawn from
    (seed, epoch), alike on all ranks. Every step is full. Every chip of the plan comes once per epoch (with 'D+' in so
    many copies), and some, at random, once more where the last steps have room. Where a schedule gives an epoch more
    room than another, as with 'B+', it goes through its plan several times. What comes again or is left out is logged.

    Args:
        sampler: A :class:`ChipPlanSampler`; mmengine passes it.
        batch_size: Chips of the planner's ``chip_size`` per step, of which the others' numbers follow; mmengine passes
            the loader's.
        sizes: Pairs (side of a chip in network pixels, share of the steps). With a ``schedule`` a list of such lists.
        regime: 'B': ``batch_size`` chips of any size. 'B+': as many as go through as many pixels. 'D+': as many, of
            which several are differently augmented copies of one chip, ``(chip_size / size) ** 2`` of them, rounded.
        keep: 'view': a chip shows the window that was planned, and its zoom follows the size. 'zoom': the planner's
            zooms, and windows that are planned for the size; then sizes are drawn for images, not for chips.
        schedule: ``dict(type='in_order', epochs=7)``: one list of ``sizes`` after the other, each for an equal part of
            the 7 epochs; ``type='alternating'``; or 'decreasing', of two: the first one, at random, in a share of
            the epochs that falls in time from all to none.
        lanes: As for :class:`ChipBatchSampler`; a small size keeps as many more images.
        drop_last: Leave out chips that fill no step, instead of filling it.
        pad_size_divisor: The data preprocessor's: other sizes would be padded to multiples of it.

    Attributes:
        sizes: (S,) all sizes, increasing.
        chips: (S,) different chips per step and process.
        copies: (S,) times that each of them comes.

    Raises:
        TypeError: If ``sampler`` is another one, or a transform that mixes chips wants one size.
        ValueError: If an argument is malformed, shares do not add up to 1, a size is no multiple of
            ``pad_size_divisor``, no range of the planner fits it, a step cannot have its pixels within 5 %, or a size
            gets no step; with what would do.
    """

    def __init__(
        self,
        sampler: ChipPlanSampler,
        batch_size: int,
        sizes: Sequence | Mapping,
        regime: str = 'B+',
        keep: str = 'view',
        schedule: Mapping | None = None,
        lanes: int = 8,
        drop_last: bool = False,
        pad_size_divisor: int = 32,
    ) -> None:
        super().__init__(sampler, batch_size, lanes, drop_last)
        for name, value, known in ('regime', regime, REGIMES), ('keep', keep, ('view', 'zoom')):
            if value not in known:
                raise ValueError(f'{name} is one of {", ".join(map(repr, known))}; got {value!r}')
        self.regime, self.keep = regime, keep
        self.schedule, self.epochs = read_schedule(schedule)
        stages = [read_distribution(stage) for stage in sizes] if schedule else [read_distribution(sizes)]
        if self.schedule == 'in_order' and self.epochs < len(stages):
            raise ValueError(
                f"schedule 'in_order' of {self.epochs} epochs does not come to all {len(stages)} lists of sizes: write "
                f'epochs={len(stages)} or more, as many as the training has'
            )
        if self.schedule == 'decreasing' and len(stages) != 2:
            raise ValueError(
                f"schedule 'decreasing' is of two lists of sizes, the low resolution first; got {len(stages)}"
            )
        self.sizes = tuple(sorted({size for stage in stages for size in stage}))
        self.shares = np.array([[stage.get(size, 0.0) for size in self.sizes] for stage in stages])
        check_sizes(sampler, self.sizes, keep, pad_size_divisor)
        self.chips, self.copies = step_contents(regime, self.sizes, batch_size, sampler.dataset.planner.chip_size)
        if keep == 'zoom':
            sampler.plan_for(self.sizes)
        self.per_step = self.chips * sampler.world_size
        self.n_steps = max(self._steps_for(shares) for shares in self.shares)
        check_shares(self.sizes, self.shares, self.n_steps)
        self._skip: tuple[int, dict] | None = None
        self._said: set[str] = set()
        self._report()

    def _steps_for(self, shares: NDArray[np.float64]) -> int:
        """Steps of an epoch that shows every chip of the first plan once."""
        plan, n_sizes = self.sampler.plan, np.count_nonzero(shares)
        if self.keep == 'view':
            n = steps_for(len(plan), shares, self.per_step)
            return n - (self.drop_last and n > 1 and apportion(n, shares) @ self.per_step > len(plan))
        if len(self.sampler.dataset.table) < n_sizes:
            raise ValueError(
                f"keep='zoom' draws a size per image: of {len(self.sampler.dataset.table)} images not {n_sizes}"
            )
        of_chip = np.searchsorted(self.sizes, plan.chip_size)

        def fits(n: int) -> bool:
            """Whether there is room for every image at its size."""
            room = apportion(n, shares) * self.per_step
            if not room[shares > 0].all():
                return False
            shown = self._split_images(room)[plan.image_idx] == of_chip
            return bool((np.bincount(of_chip[shown], minlength=len(room)) <= room).all())

        return max(bisect_left(range(len(plan) + n_sizes), True, key=fits) - self.drop_last, 1)

    def _report(self) -> None:
        """Say once what steps there are."""
        budget = self.batch_size * self.sampler.dataset.planner.chip_size**2
        parts = []
        for size, chips, copies in zip(self.sizes, self.chips, self.copies, strict=True):
            times = f' {copies} times' if copies > 1 else ''
            parts.append(
                f'{size} px: {chips} chips{times} ({chips * copies * size**2 / budget:.0%} of the usual pixels)'
            )
        print_log(
            f'MixedSizeBatchSampler: {self.n_steps} steps per epoch; regime {self.regime}, per step and process '
            f'{", ".join(parts)}',
            logger='current',
        )

    def _report_room(self, epoch: MixedEpoch) -> None:
        """Say once that an epoch shows chips twice, and once that one leaves some out."""
        n_again, n = int((epoch.times > 0).sum()), self.sampler.epoch
        for count, what in (
            (n_again, 'come once more, differently augmented, so that all steps are full'),
            (epoch.n_left_out, 'are more than its steps have room for: as many, drawn at random, are left out'),
        ):
            if count and what not in self._said:
                self._said.add(what)
                print_log(f'MixedSizeBatchSampler: epoch {n}: {count} chips {what} (said once)', logger='current')

    def epoch(self, dealt: Mapping | None = None) -> MixedEpoch:
        """What the sampler's epoch shows, from its first step on: a function of (seed, epoch).

        Args:
            dealt: How its chips are dealt to steps; default as they are here.
        """
        sampler, dealt = self.sampler, dealt or self.dealt
        numbers = apportion(dealt['n_steps'], self._shares_of(sampler.epoch))
        counts, of_chip = np.array(dealt['per_step']), None
        if self.keep == 'zoom':
            size_of = self._split_images(numbers * counts)
            of_chip = np.searchsorted(self.sizes, sampler.plan.chip_size)
            of_chip = np.where(size_of[sampler.plan.image_idx] == of_chip, of_chip, -1)
        rng = np.random.default_rng((sampler.seed, sampler.epoch, 5))
        return mixed_epoch(sampler.plan, numbers, counts, dealt['lanes'], rng, of_chip)

    def _shares_of(self, epoch: int) -> NDArray[np.float64]:
        """(S,) shares of an epoch's steps."""
        return self.shares[stage_of(self.schedule, len(self.shares), self.epochs, self.sampler.seed, epoch)]

    def pixels(self, epoch: int) -> int:
        """Network pixels that one process goes through in an epoch."""
        of_step = self.chips * self.copies * np.square(self.sizes)
        return int(apportion(self.n_steps, self._shares_of(epoch)) @ of_step)

    def _split_images(self, room: NDArray[np.int64]) -> NDArray[np.int64]:
        """(I,) the size at which each image is shown, where there is room for so many chips (S,)."""
        sampler, n_images = self.sampler, len(self.sampler.dataset.table)
        plan = sampler.plan
        n_chips = [np.bincount(plan.image_idx[plan.chip_size == size], minlength=n_images) for size in self.sizes]
        return split_images(np.array(n_chips), room, np.random.default_rng((sampler.seed, sampler.epoch, 6)))

    def __iter__(self) -> Iterator[list[ChipKey]]:
        sampler = self.sampler
        sampler.plan_ahead()
        skip, self._skip = self._skip, None
        first, epoch = (0, self.epoch()) if skip is None else self._going_on(*skip)
        self._report_room(epoch)
        before = sampler.epoch * self.n_steps
        for step in range(first, self.n_steps):
            s, stop = int(epoch.size_idx[step]), int(epoch.stops[step])
            keys = []
            for n in range(stop - int(self.per_step[s]) + sampler.rank, stop, sampler.world_size):
                until = int(epoch.keep_until[n])
                until = before + until if until >= 0 else -1
                key = self._key(int(epoch.rows[n]), s, before + step, until)
                for copy in reversed(range(self.copies[s])):
                    # The image is needed again at once, but for the last copy.
                    kept = key._replace(keep_until=max(until, before + step + 1)) if copy else key
                    keys.append(kept.again(int(epoch.times[n]), copy))
            yield keys

    def _key(self, row: int, s: int, *when: int) -> ChipKey:
        """A chip of the plan in a size."""
        key = self.sampler.plan.key(row, *when)
        return key.sized(self.sizes[s], self.sampler.dataset.planner.chip_size) if self.keep == 'view' else key

    def some_chips(self, s: int, n: int) -> list[ChipKey]:
        """Chips of the plan, spread over it, in a size: to look at."""
        plan = self.sampler.plan
        rows = np.arange(len(plan)) if self.keep == 'view' else np.flatnonzero(plan.chip_size == self.sizes[s])
        return [self._key(int(row), s) for row in rows[np.linspace(0, len(rows) - 1, n).astype(int)]]

    def __len__(self) -> int:
        return self.n_steps

    def _going_on(self, shown: int, dealt: Mapping) -> tuple[int, MixedEpoch]:
        """Of an epoch that was dealt in some way and has shown so many chips: where it goes on, and what it shows."""
        before = self.epoch(dealt)
        if dealt == self.dealt:
            return int(np.searchsorted(before.stops, shown, side='right')), before
        first = self.n_steps - self.steps_after(shown, dealt)
        rng = np.random.default_rng((self.sampler.seed, self.sampler.epoch, 7))
        return first, rest_of(self.epoch(), before, shown, first, rng)

    # What ExactResumeHook asks for, as of what is not mixed: see datasets/progress.py.

    @property
    def step(self) -> tuple[int, ...]:
        """Different chips per step of each size, over all ranks."""
        return tuple(self.per_step.tolist())

    @property
    def dealt(self) -> dict:
        """What an epoch's order depends on beside plan, seed and epoch, in plain types."""
        return dict(
            sizes=self.sizes,
            shares=tuple(map(tuple, self.shares.tolist())),
            schedule=(self.schedule, self.epochs),
            keep=self.keep,
            copies=tuple(self.copies.tolist()),
            per_step=self.step,
            n_steps=self.n_steps,
            lanes=self.lanes,
        )

    def refusal(self, dealt: object) -> str | None:
        """Why an epoch that was dealt in some way cannot be gone on with; None if it can."""
        ours = self.dealt
        if not isinstance(dealt, dict):
            return 'was written without mixed sizes'
        if changed := [name for name in ('sizes', 'shares', 'schedule', 'keep', 'copies') if dealt[name] != ours[name]]:
            return f'has other {", ".join(changed)} of chips'
        names = dict(per_step='chips per step', n_steps='steps per epoch', lanes='lanes')
        if self.keep == 'zoom' and (changed := [name for key, name in names.items() if dealt[key] != ours[key]]):
            return f"has other {', '.join(changed)}, which keep='zoom' cannot go on with"
        return None

    def skip(self, shown: int, dealt: dict) -> None:
        """Let the next iteration leave out the first chips of its order, as :meth:`ChipPlanSampler.skip`."""
        self._skip = (shown, dealt)

    def total(self) -> int:
        """Chips of the sampler's epoch, over all ranks, copies not counted."""
        return int(self.epoch().stops[-1])

    def steps_after(self, shown: int, dealt: Mapping) -> int:
        """How many steps are left of an epoch that was dealt in some way and has shown so many chips."""
        stops = self.epoch().stops
        if dealt == self.dealt:
            return int((stops > shown).sum())
        rest = int(self.epoch(dealt).stops[-1]) - shown
        room = stops[-1] - np.append(0, stops)  # from each step on
        return min(int((room < rest).sum()), self.n_steps) if rest else 0

    def shown_after(self, skipped: int, dealt: Mapping, n_steps: int) -> int:
        """Chips shown after some steps, and those that the epoch left out, which were dealt in some way."""
        if not n_steps:
            return skipped
        ours = self.epoch()
        before = self.epoch(dealt) if skipped and dealt != self.dealt else ours
        first = self.n_steps - self.steps_after(skipped, dealt) if skipped else 0
        # What the steps after these have room for is what is left: see rest_of.
        return len(before.rows) - int(ours.stops[-1] - ours.stops[first + n_steps - 1])
