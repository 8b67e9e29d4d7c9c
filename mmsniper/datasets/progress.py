"""How far an epoch is, in chips over all ranks: what a checkpoint in mid-epoch says, and what goes on from it."""

from __future__ import annotations

import math

from torch.utils.data import BatchSampler, DataLoader

from .epoch_order import Deal
from .mixed_size_batch_sampler import MixedSizeBatchSampler
from .plan_sampler import ChipPlanSampler


class FixedProgress:
    """Progress of steps that all have as many chips; of several sizes, :class:`MixedSizeBatchSampler` knows the same.

    Args:
        batches: Around a :class:`ChipPlanSampler`.
    """

    def __init__(self, batches: BatchSampler) -> None:
        self.sampler: ChipPlanSampler = batches.sampler
        self.step = batches.batch_size * self.sampler.world_size
        self.drop_last = batches.drop_last

    @property
    def dealt(self) -> tuple:
        """The sampler's :class:`Deal`."""
        return tuple(self.sampler.dealt)

    def refusal(self, dealt: tuple | dict) -> str | None:
        """Why an epoch that was dealt in some way cannot be gone on with; None if it can."""
        return 'was written with mixed sizes' if isinstance(dealt, dict) else None

    def skip(self, shown: int, dealt: tuple) -> None:
        """As :meth:`ChipPlanSampler.skip`."""
        self.sampler.skip(shown, Deal(*dealt))

    def total(self) -> int:
        """Chips of an epoch."""
        return self.sampler.total_size

    def steps_after(self, shown: int, dealt: tuple) -> int:
        """Steps that are left of an epoch that was dealt in some way and has shown so many chips."""
        left = (self.total() - shown) / self.step
        return math.floor(left) if self.drop_last else math.ceil(left)

    def shown_after(self, skipped: int, dealt: tuple, n_steps: int) -> int:
        """Chips shown after some steps, and those that the epoch left out, which were dealt in some way."""
        return min(skipped + n_steps * self.step, self.total())


def progress_of(loader: DataLoader) -> FixedProgress | MixedSizeBatchSampler:
    """Of a loader of chips."""
    batches = loader.batch_sampler
    return batches if isinstance(batches, MixedSizeBatchSampler) else FixedProgress(batches)
