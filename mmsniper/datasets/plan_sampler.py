"""ChipPlanSampler: one epoch's chips, planned in the main process, dealt to ranks and workers as keys."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from mmdet.datasets import MultiImageMixDataset
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import Dataset, Sampler

from ..chips import ChipKey
from ..registry import DATA_SAMPLERS
from .chip_dataset import ChipDataset
from .transforms import MixChips


@DATA_SAMPLERS.register_module()
class ChipPlanSampler(Sampler):
    """Yields the :class:`~mmsniper.chips.ChipKey` s of each epoch's plan, in random order.

    A key says everything about a chip, so persistent workers, resuming and several ranks need nothing special. The
    length is that of the first plan: mmengine fixes an epoch's length at the start. Later plans differ by a few chips
    and are cut or topped up at random.

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
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = -1
        self._skip = 0
        self._reported = False
        self.set_epoch(0)
        if len(self.plan) == 0:
            raise ValueError(
                'the plan has no chip: no image has a usable object, and empty_chips=0 leaves out images without any'
            )
        self.num_samples = math.ceil(len(self.plan) / self.world_size)
        self.total_size = self.num_samples * self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Plan an epoch; mmengine's ``DistSamplerSeedHook`` calls this before each."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.plan = self.dataset.current_plan = self.dataset.plan(epoch, self.seed)

    def skip(self, shown: int) -> None:
        """Let the next iteration leave out the first chips of its order, as a resumed epoch does.

        Args:
            shown: How many, over all ranks.

        Raises:
            ValueError: If that is less than none.
        """
        if shown < 0:
            raise ValueError(f'shown is a number of chips, >= 0; got {shown}')
        self._skip = shown

    def __iter__(self) -> Iterator[ChipKey]:
        rng = np.random.default_rng((self.seed, self.epoch, 1))
        order = rng.permutation(len(self.plan))[: self.total_size]
        if len(order) < self.total_size:
            order = np.append(order, rng.integers(len(self.plan), size=self.total_size - len(order)))
        left_out = len(self.plan) - self.total_size
        if left_out > 0 and not self._reported:
            self._reported = True
            print_log(
                f'ChipPlanSampler: epoch {self.epoch} has {len(self.plan)} chips, {left_out} more than the epoch '
                'length fixed at the start; as many, drawn at random, are left out (said once)',
                logger='current',
            )
        if not self.shuffle:
            order.sort()
        order, self._skip = order[self._skip :], 0
        # Another number of ranks may not divide what is left.
        order = np.append(order, rng.integers(len(self.plan), size=-len(order) % self.world_size))
        for n in order[self.rank :: self.world_size]:
            yield self.plan.key(n)

    def __len__(self) -> int:
        return self.num_samples
