"""PlannedRun: what a training run consists of before its first step, as the checks look at it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mmdet.datasets import MultiImageMixDataset
from mmengine.config import Config
from mmengine.dist import get_dist_info
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..datasets import ChipDataset, MixedSizeBatchSampler
from ..datasets.size_mix import fitting_batch
from ..registry import type_name


@dataclass
class PlannedRun:
    """Built parts of a run; None is what could not be built, or is not there.

    Attributes:
        cfg: The config.
        train: The training loader.
        val: The validation's data set.
        model: The detector, without what makes it parallel.
        world_size: Processes that the run will have.
    """

    cfg: Config
    train: DataLoader | None = None
    val: Dataset | None = None
    model: nn.Module | None = None
    world_size: int = 1

    @classmethod
    def of_runner(cls, runner: Runner) -> PlannedRun:
        """The parts of a runner that is about to train."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        val = None if runner.val_loop is None else runner.val_dataloader.dataset
        return cls(runner.cfg, runner.train_dataloader, val, model, runner.world_size)

    @property
    def data(self) -> Dataset | None:
        """The training data set, without what mixes its samples."""
        dataset = None if self.train is None else self.train.dataset
        return dataset.dataset if isinstance(dataset, MultiImageMixDataset) else dataset

    @property
    def chips(self) -> ChipDataset | None:
        """The data set of chips; None where whole images train."""
        return self.data if isinstance(self.data, ChipDataset) else None

    @property
    def batch_size(self) -> int:
        """Samples per step of one process."""
        return int(self.cfg.train_dataloader.batch_size)

    @property
    def accumulated(self) -> int:
        """Steps whose gradients are added up."""
        return int((self.cfg.get('optim_wrapper') or {}).get('accumulative_counts') or 1)

    @property
    def samples_per_update(self) -> int:
        """Samples that one step of the optimizer has seen, of all processes."""
        return self.batch_size * self.world_size * self.accumulated

    @property
    def steps_per_epoch(self) -> int | None:
        """Iterations of an epoch; None without data."""
        if self.train is None:
            return None
        # Of this process; loader.sampler is torch's own where there is a batch sampler.
        if self.mixed_sizes is not None:
            return max(1, math.ceil(len(self.mixed_sizes) * get_dist_info()[1] / self.world_size))
        samples = len(self.train.batch_sampler.sampler) * get_dist_info()[1]
        return max(1, math.ceil(samples / (self.batch_size * self.world_size)))

    @property
    def by_epoch(self) -> bool:
        """Whether the loop counts epochs."""
        loop = self.cfg.train_cfg
        return loop.get('by_epoch', 'IterBased' not in str(loop.get('type', 'EpochBasedTrainLoop')))

    @property
    def steps(self) -> int | None:
        """Iterations of the run; None where that cannot be told."""
        if not self.by_epoch:
            return self.length
        return None if self.steps_per_epoch is None else self.length * self.steps_per_epoch

    @property
    def length(self) -> int:
        """Epochs of the run, or iterations where the loop counts these."""
        return int(self.cfg.train_cfg.max_epochs if self.by_epoch else self.cfg.train_cfg.max_iters)

    @property
    def validates(self) -> bool:
        """Whether a validation takes place."""
        return self.val is not None and self.cfg.train_cfg.get('val_begin', 1) <= self.length

    def has_hook(self, name: str) -> bool:
        """Whether a hook of a type is among the custom ones."""
        return name in [type_name(hook.get('type')) for hook in self.cfg.get('custom_hooks') or []]

    @property
    def mixed_sizes(self) -> MixedSizeBatchSampler | None:
        """What draws chip sizes; None where chips have one."""
        batches = None if self.train is None else self.train.batch_sampler
        return batches if isinstance(batches, MixedSizeBatchSampler) else None

    @property
    def step_samples(self) -> list[int]:
        """Different samples per step and process, for each of mixed chip sizes; else of all steps."""
        return [self.batch_size] if self.mixed_sizes is None else self.mixed_sizes.chips.tolist()

    def fitting_batch(self, batches: Iterable[int], least: int = 1) -> int | None:
        """The first of some batch sizes with which the run can train.

        Args:
            batches: Batch sizes.
            least: Different samples that each step is to have.
        """
        mixed = self.mixed_sizes
        if mixed is None:
            return next((batch for batch in batches if batch >= least), None)
        planned = mixed.sampler.dataset.planner.chip_size
        return fitting_batch(mixed.regime, mixed.sizes, planned, batches, least)
