"""ChipPlanSampler: one epoch's chips, planned in the main process, dealt to ranks and workers as keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
from mmdet.datasets import MultiImageMixDataset
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import DataLoader, Dataset, Sampler

from ..chips import ChipKey, ChipPlan
from ..registry import DATA_SAMPLERS
from .background import in_background
from .chip_dataset import ChipDataset
from .epoch_order import Deal, epoch_order
from .transforms import MixChips


@DATA_SAMPLERS.register_module()
class ChipPlanSampler(Sampler):
    """Yields the :class:`~mmsniper.chips.ChipKey` s of each epoch's plan, in random order.

    A key says everything about a chip, so persistent workers, resuming and several ranks need nothing special. The
    length is that of the first plan: mmengine fixes an epoch's length at the start. Later plans differ by a few chips
    and are cut or topped up at random. The next epoch is planned in the background of this one.

    Args:
        dataset: A :class:`ChipDataset`, or mmdet's ``MultiImageMixDataset`` around one.
        shuffle: Random order; otherwise image by image.
        seed: Seed of plans and order, the same on all ranks. The runner passes its own.

    Raises:
        TypeError: If ``dataset`` is anything else, or it mixes chips without :class:`MixChips`.
        ValueError: If the plan has no chip.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: int | None = None) -> None:
        chips = dataset.dataset if isinstance(dataset, MultiImageMixDataset) else dataset
        if not isinstance(chips, ChipDataset):
            raise TypeError(
                f'ChipPlanSampler needs a ChipDataset, but the loader has {type(dataset).__name__}; put what '
                'repeats or joins data sets inside ChipDataset(dataset=...), not around it'
            )
        for transform in dataset.pipeline if chips is not dataset else ():
            if hasattr(transform, 'get_indexes') and not isinstance(transform, MixChips):
                name = type(transform).__name__
                raise TypeError(
                    f'{name} would give all objects the valid range of one chip: write '
                    f"dict(type='mmsniper.MixChips', transform=dict(type='{name}', ...))"
                )
        self.rank, self.world_size = get_dist_info()
        self.dataset = chips
        self.wrapper = dataset  # what mixes its chips, or itself
        self.chip_sizes: tuple[int, ...] = ()
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = -1
        self._skip = 0
        self.dealt = self._dealt_before = Deal()
        self._ahead: tuple[tuple[int, int] | None, Future[ChipPlan] | None] = (None, None)
        self._reported = False
        self.set_epoch(0)
        if len(self.plan) == 0:
            raise ValueError(
                'the plan has no chip: no image has a usable object, and empty_chips=0 leaves out images without any'
            )
        self.num_samples = math.ceil(len(self.plan) / self.world_size)
        self.total_size = self.num_samples * self.world_size

    def plan_for(self, chip_sizes: Sequence[int]) -> None:
        """Plan every image for chips of each of some sizes; see :meth:`ChipDataset.plan`."""
        self.chip_sizes, self._ahead = tuple(chip_sizes), (None, None)
        epoch, self.epoch = self.epoch, -1
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        """Plan an epoch; mmengine's ``DistSamplerSeedHook`` calls this before each."""
        if epoch != self.epoch:
            self.epoch = epoch
            (ahead, future), self._ahead = self._ahead, (None, None)
            made = future is not None and ahead == (self.seed, epoch)
            self.plan = future.result() if made else self.dataset.plan(epoch, self.seed, self.chip_sizes)
            if not self.chip_sizes:
                self.dataset.current_plan = self.plan

    def skip(self, shown: int, dealt: Deal) -> None:
        """Let the next iteration leave out the first chips of its order, as a resumed epoch does.

        Args:
            shown: How many, over all ranks.
            dealt: How that epoch's chips were dealt to steps: the sampler's ``dealt`` at the time.
        """
        self._skip, self._dealt_before = shown, dealt

    def __iter__(self) -> Iterator[ChipKey]:
        self.plan_ahead()
        rng = np.random.default_rng((self.seed, self.epoch, 1))
        skip, self._skip = self._skip, 0
        deal = Deal(*(self._dealt_before if skip else self.dealt))
        n_chips = len(self.plan)
        self._report_left_out(n_chips - self.total_size)
        order = epoch_order(self.plan.image_idx, deal, self.shuffle, self.total_size, rng)
        n_shown = self.total_size - skip
        n_shown += -n_shown % self.world_size  # another number of ranks may not divide what is left
        rows, keep_until = (part[skip : skip + n_shown] for part in order)
        n_more = n_shown - len(rows)
        rows = np.append(rows, rng.integers(n_chips, size=n_more))
        keep_until = np.append(keep_until, np.full(n_more, -1))
        before = self.epoch * self.total_size  # steps are numbered through all epochs, however many these have
        for n in range(self.rank, n_shown, self.world_size):
            step = before + (skip + n) // deal.per_step
            yield self.plan.key(rows[n], step, before + int(keep_until[n]) if keep_until[n] >= 0 else -1)

    def __len__(self) -> int:
        return self.num_samples

    def _report_left_out(self, n: int) -> None:
        """Say once that an epoch's plan has `n` chips more than it has time for."""
        if n > 0 and not self._reported:
            self._reported = True
            print_log(
                f'ChipPlanSampler: epoch {self.epoch} has {len(self.plan)} chips, {n} more than the epoch '
                'length fixed at the start; as many, drawn at random, are left out (said once)',
                logger='current',
            )

    def plan_ahead(self) -> None:
        """Plan the next epoch while this one is shown, also behind the last, which nobody here knows to be that."""
        ahead = self.seed, self.epoch + 1
        if self._ahead[0] != ahead:
            self._ahead = ahead, in_background(self.dataset.plan, self.epoch + 1, self.seed, self.chip_sizes)


def chip_sampler(loader: DataLoader) -> ChipPlanSampler | None:
    """The sampler of a loader of chips, None of another loader."""
    sampler = getattr(loader.batch_sampler, 'sampler', None)
    return sampler if isinstance(sampler, ChipPlanSampler) else None
