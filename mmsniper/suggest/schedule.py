"""Batch, epochs, learning rate and validation for so many chips."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

from mmengine.config import Config

from ..checks.learning_rate import listed_schedulers
from .base import Base

# A detector wants to have been shown so many chips, however few there are: some 2500 steps of 16.
LEAST_CHIPS = 40_000
# More epochs than this learn a small data set by heart.
MOST_EPOCHS = 72
# In an epoch there should be at least so many steps, or a large batch makes few of them; but batch norm wants a batch.
LEAST_STEPS, LEAST_BATCH = 30, 8
VALIDATIONS = 4
WARM_UP, WARM_UP_SHARE = 1000, 0.1


@dataclass(frozen=True)
class Schedule:
    """How long, how fast.

    Attributes:
        batch_size: Chips per step.
        epochs: A multiple of ``val_interval``.
        steps_per_epoch: At about so many chips.
        val_interval: Epochs between validations; the last one is after the last epoch.
        lr: Learning rate for this batch.
        param_scheduler: mmengine's settings.
    """

    batch_size: int
    epochs: int
    steps_per_epoch: int
    val_interval: int
    lr: float
    param_scheduler: list[dict]

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.steps_per_epoch


def make_schedule(base: Base, chips: float, chip_size: int, fits: int, epochs: int | None = None) -> Schedule:
    """Choose a schedule.

    A batch has the pixels of the base's, or what fits, or less where an epoch has few chips. The base's epochs are
    stretched until ``LEAST_CHIPS`` have been shown (counted as chips of the base's size), within ``MOST_EPOCHS``.

    Args:
        base: The base config.
        chips: In an epoch.
        chip_size: Side of these chips, network pixels.
        fits: How many chips fit the memory.
        epochs: As many as this, or None to choose.
    """
    larger = (chip_size / base.chip_size) ** 2
    batch = base.batch_size / larger
    batch = min(batch, max(fits, 1), max(chips / LEAST_STEPS, LEAST_BATCH), chips)
    batch = max(2 ** int(math.log2(max(batch, 1))), 1)
    steps = max(math.ceil(chips / batch), 1)
    if epochs is None:
        wanted = LEAST_CHIPS * (base.chip_size / 512) ** 2 / (chips * larger)
        epochs = min(max(base.epochs, math.ceil(wanted)), MOST_EPOCHS)
        interval = max(epochs // VALIDATIONS, 1)
        epochs = min(math.ceil(epochs / interval), MOST_EPOCHS // interval) * interval
    else:
        interval = next(n for n in range(max(epochs // VALIDATIONS, 1), 0, -1) if epochs % n == 0)
    lr = fitted_rate(base.cfg, batch * larger)
    schedulers = stretched(listed_schedulers(base.cfg), base.epochs, epochs, steps)
    return Schedule(batch, epochs, steps, interval, lr, schedulers)


def rpn_options(base: Base, schedule: Schedule, chip_size: int) -> dict:
    """What the config of the base's RPN takes for this schedule: its part of the epochs, and the rate for the batch.

    Args:
        base: With an RPN.
        schedule: The detector's.
        chip_size: Side of the chips, network pixels.
    """
    old = base.rpn.train_cfg.max_epochs
    new = math.ceil(old * schedule.epochs / base.epochs)
    rate = fitted_rate(base.rpn, schedule.batch_size * (chip_size / base.chip_size) ** 2)
    return dict(
        train_cfg=dict(max_epochs=new),
        param_scheduler=stretched(listed_schedulers(base.rpn), old, new, schedule.steps_per_epoch),
        optim_wrapper=dict(optimizer=dict(lr=rate)),
        auto_scale_lr=dict(base_batch_size=schedule.batch_size),
    )


def fitted_rate(cfg: Config, batch: float) -> float:
    """A config's learning rate for another batch, to two digits.

    Args:
        cfg: The config.
        batch: As many chips of its size.
    """
    optimizer, meant = cfg.optim_wrapper.optimizer, cfg.get('auto_scale_lr', {}).get('base_batch_size')
    share = batch / (meant or cfg.train_dataloader.batch_size)
    # Adam's steps have the length of the rate whatever the gradient's noise, which falls by the root of the batch.
    return float(f'{optimizer.lr * (share if optimizer.type == "SGD" else share**0.5):.2g}')


def stretched(schedulers: list[dict], old: int, new: int, steps: int) -> list[dict]:
    """A base's learning rate schedule for another number of epochs.

    Args:
        schedulers: mmengine's settings, for `old` epochs.
        old: Epochs of the base.
        new: Epochs now.
        steps: Steps of an epoch.

    Returns:
        The settings; a warm-up takes a tenth of all steps at most.
    """
    fitted = []
    for scheduler in map(copy.deepcopy, schedulers):
        scheduler = dict(scheduler)
        if scheduler.get('by_epoch', True):
            for key in ('begin', 'end', 'T_max'):
                if key in scheduler and scheduler[key] < 10**8:
                    scheduler[key] = _number(scheduler[key] * new / old)
            if 'milestones' in scheduler:
                scheduler['milestones'] = [round(epoch * new / old) for epoch in scheduler['milestones']]
        elif scheduler.get('begin', 0) == 0:
            scheduler['end'] = max(min(scheduler.get('end', WARM_UP), int(WARM_UP_SHARE * steps * new)), 1)
        fitted.append(scheduler)
    return fitted


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else round(value, 2)
