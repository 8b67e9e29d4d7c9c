"""The schedule against the number of iterations that the run has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .findings import NOTE, WARNING, Finding
from .learning_rate import is_warm_up
from .planned_run import PlannedRun

# Fewer steps teach a detector little, pretrained or not.
FEW_STEPS = 500
# A warm-up takes this share of a run at most.
WARM_UP_SHARE = 1 / 3


def check_schedule(run: PlannedRun) -> Iterator[Finding]:
    """Warm-up and steps lie within the run, which is long enough, and validated."""
    steps, per_epoch = run.steps, run.steps_per_epoch
    if steps is None:
        yield Finding(NOTE, 'schedule', 'not checked', 'Its length in iterations follows from the data.')
        return
    if steps < FEW_STEPS:
        yield Finding(
            WARNING,
            'schedule',
            f'the run has {steps} iterations' + (f', {per_epoch} per epoch' if per_epoch and run.by_epoch else ''),
            'A detector needs some thousands to learn more than where objects are likely.',
            _longer(run, steps),
        )
    schedulers = run.cfg.get('param_scheduler') or []
    if isinstance(schedulers, (list, tuple)):
        for scheduler in schedulers:
            yield from _check_scheduler(run, scheduler, steps)
    yield from _check_validation(run)


def _check_scheduler(run: PlannedRun, scheduler: dict, steps: int) -> Iterator[Finding]:
    """Of one scheduler, in iterations."""
    unit = (run.steps_per_epoch or 1) if scheduler.get('by_epoch', True) else 1
    begin, kind = scheduler.get('begin', 0) * unit, scheduler.get('type')
    end = scheduler.get('T_max', scheduler.get('end', math.inf)) * unit
    of_run = f'the run has {steps} iterations' + (f' ({run.length} epochs)' if run.by_epoch else '')
    if begin == 0 and kind == 'LinearLR' and is_warm_up(scheduler):
        if end > steps * WARM_UP_SHARE:
            fit = max(1, round(steps / 10))
            yield Finding(
                WARNING,
                'schedule',
                f'warm-up takes {end:g} iterations, {of_run}',
                'The learning rate never gets where it should be.' if end > steps else 'Little is left to learn in.',
                f'param_scheduler: {dict(scheduler, end=fit, by_epoch=False)!r}',
            )
    elif begin >= steps:
        yield Finding(
            WARNING,
            'schedule',
            f'{kind} begins at {scheduler["begin"]:g}{" epochs" if unit > 1 else ""}, {of_run}',
            'So it has no effect: the learning rate stays high, and the last, precise part of learning is missing.',
            f'param_scheduler: begin={_within(run, steps, unit, 0.76)}',
        )
    late = [step for step in scheduler.get('milestones', []) if step * unit >= steps]
    if late:
        yield Finding(
            WARNING,
            'schedule',
            f'{kind} lowers the learning rate at {late}, but {of_run}',
            'So it stays high, and the last, precise part of learning is missing.',
            f'param_scheduler: milestones=[{_within(run, steps, unit, 0.67)}, {_within(run, steps, unit, 0.92)}]',
        )
    if kind in ('CosineAnnealingLR', 'PolyLR') and steps * 1.05 < end < math.inf:
        yield Finding(
            WARNING,
            'schedule',
            f'{kind} goes down over {end:g} iterations, {of_run}',
            'So it stops half-way, and the last, precise part of learning is missing.',
            f'param_scheduler: end={_within(run, steps, unit, 1)}',
        )


def _check_validation(run: PlannedRun) -> Iterator[Finding]:
    loop = run.cfg.train_cfg
    length = run.length
    interval, first = loop.get('val_interval', 1 if run.by_epoch else 1000), loop.get('val_begin', 1)
    if not run.cfg.get('val_dataloader'):
        yield Finding(NOTE, 'schedule', 'there is no val_dataloader', 'Nothing tells how well it learns until a test.')
    elif first > length:
        yield Finding(
            NOTE,  # nobody writes that by mistake
            'schedule',
            f'validation begins at {first}, but training ends at {length}',
            'It never takes place.',
            f'train_cfg = dict(val_begin={length})',
        )
    elif interval > length:
        yield Finding(
            WARNING,
            'schedule',
            f'validation comes every {interval} {"epochs" if run.by_epoch else "iterations"}, training has {length}',
            'It takes place at the very end or, by older versions of mmengine, never.',
            f'train_cfg = dict(val_interval={length})',
        )


def _longer(run: PlannedRun, steps: int) -> str:
    if not run.by_epoch:
        return f'train_cfg = dict(max_iters={4 * FEW_STEPS})'
    epochs = math.ceil(run.length * 4 * FEW_STEPS / steps)
    return f'train_cfg = dict(max_epochs={epochs})  # and the schedule in proportion, or a smaller batch'


def _within(run: PlannedRun, steps: int, unit: int, share: float) -> str:
    """A share of the run in a scheduler's unit."""
    return f'{round(share * run.length, 2):g}' if unit > 1 else f'{round(share * steps)}'
