"""ChipTimerHook: how long a training still takes, where its steps differ in size."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.hooks import IterTimerHook
from mmengine.runner import Runner

from ..datasets import MixedSizeBatchSampler
from ..registry import HOOKS


@HOOKS.register_module()
class ChipTimerHook(IterTimerHook):
    """mmengine's timer, which counts the pixels that are left where chips have mixed sizes, and not the steps.

    A schedule gives some epochs several times the pixels of others, and so their steps several times the seconds. By
    the mean step so far, as mmengine reckons, a training that begins with a low resolution is nearly over all the time.
    """

    def before_train(self, runner: Runner) -> None:
        """Count the pixels of one process up to each step, (steps + 1,) float64; steps of an epoch have its mean."""
        super().before_train(runner)
        batches = runner.train_dataloader.batch_sampler
        self._pixels = None
        if isinstance(batches, MixedSizeBatchSampler):
            n_epochs = -(-runner.max_iters // batches.n_steps)
            of_step = [batches.pixels(epoch) / batches.n_steps for epoch in range(n_epochs)]
            self._pixels = np.append(0, np.cumsum(np.repeat(of_step, batches.n_steps)[: runner.max_iters]))

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
        if mode == 'train' and self._pixels is not None:
            # A run resumed with more chips per step may count past its end.
            last = len(self._pixels) - 1
            begun, now, end = self._pixels[np.minimum([self.start_iter, runner.iter + 1, last], last)]
            runner.message_hub.update_info('eta', self.time_sec_tot * (end - now) / max(now - begun, 1))
