"""BatchRateHook: the learning rate of a step follows how many chips the step has."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from ..datasets import MixedSizeBatchSampler
from ..registry import HOOKS

RULES = dict(linear=1.0, sqrt=0.5)


@HOOKS.register_module()
class BatchRateHook(Hook):
    """For :class:`~mmsniper.datasets.MixedSizeBatchSampler`: scales the learning rate of each step by its chips.

    The factor is chips of the step / ``batch_size``, or its root; copies of a chip, as 'D+' makes, are not counted.
    Without this hook all steps have the schedule's rate. That is what is logged, and what schedules and checkpoints
    see; nothing needs to be restored when a run is resumed.

    Args:
        rule: 'linear', as is usual for SGD, or 'sqrt', for Adam and its kin.

    Raises:
        ValueError: If ``rule`` is another one; at the start of a training, if gradients of several steps are added up;
            at a step, if samples have none of the sizes.
        TypeError: At the start of a training, if batches have no mixed sizes, or there are several optimizers.
    """

    def __init__(self, rule: str = 'linear') -> None:
        if rule not in RULES:
            raise ValueError(
                f'rule is one of {", ".join(map(repr, RULES))}; got {rule!r} (for none, leave out the hook)'
            )
        self.power = RULES[rule]
        self._scheduled: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Look whether the rule can be kept."""
        if not isinstance(runner.train_dataloader.batch_sampler, MixedSizeBatchSampler):
            raise TypeError(
                'BatchRateHook is for batches of mixed sizes: leave it out, or write train_dataloader = dict('
                "batch_sampler=dict(type='mmsniper.MixedSizeBatchSampler', sizes=[...]))"
            )
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise TypeError('BatchRateHook scales the rates of one optimizer, and here are several: leave it out')
        if runner.optim_wrapper._accumulative_counts > 1:
            raise ValueError(
                'BatchRateHook scales the rate of each step, and optim_wrapper.accumulative_counts adds up the '
                'gradients of several: leave one of them out'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Scale."""
        batches = runner.train_dataloader.batch_sampler
        side = data_batch['inputs'][0].shape[-1]
        if side not in batches.sizes:
            raise ValueError(
                f'BatchRateHook goes by the size of samples, which is {side} px, and MixedSizeBatchSampler has '
                f'{", ".join(map(str, batches.sizes))}: leave out the transform that changes it, or the hook'
            )
        chips = batches.chips[batches.sizes.index(side)]
        factor = float(chips / batches.batch_size) ** self.power
        # The rate, and not loss or gradient: Adam's steps do not depend on their scale, and clip_grad would undo it.
        groups = runner.optim_wrapper.param_groups
        self._scheduled = [group['lr'] for group in groups]
        for group in groups:
            group['lr'] = group['lr'] * factor

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Restore, before schedulers, whose next rate follows from this one, and checkpoints."""
        for group, rate in zip(runner.optim_wrapper.param_groups, self._scheduled, strict=True):
            group['lr'] = rate
