"""The schedule against the number of iterations that the run has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..config_lines import text
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
    updates = steps // run.accumulated
    if updates < FEW_STEPS:
        yield Finding(
            WARNING,
            'schedule',
            f'the run has {steps} iterations'
            + (f', {per_epoch} per epoch' if per_epoch and run.by_epoch else '')
            + (f', and updates the weights {updates} times' if run.accumulated > 1 else ''),
            'A detector needs some thousands to learn more than where objects are likely.',
            _longer(run, updates),
        )
    schedulers = run.cfg.get('param_scheduler') or []
    schedulers = list(schedulers) if isinstance(schedulers, (list, tuple)) else [schedulers]
    for n, scheduler in enumerate(schedulers):
        for what, why, changes in _faults(run, scheduler, steps):
            mended = [*schedulers[:n], dict(scheduler, **changes), *schedulers[n + 1 :]]
            yield Finding(WARNING, 'schedule', what, why, f'param_scheduler = {text(mended)}')
    yield from _check_validation(run)


def _faults(run: PlannedRun, scheduler: dict, steps: int) -> Iterator[tuple[str, str, dict]]:
    """Of one scheduler: what, why, and what of it to change."""
    kind, converted = scheduler.get('type'), scheduler.get('convert_to_iter_based', False)
    by_epoch = scheduler.get('by_epoch', True)
    unit = (run.steps_per_epoch or 1) if by_epoch else 1
    if by_epoch and not converted and not run.by_epoch:
        yield (
            f'{kind} counts epochs (by_epoch=True, the default), but the loop counts iterations',
            'To a loop of iterations the whole run is one epoch: the learning rate never changes.',
            dict(_in_iterations(scheduler, unit, steps), by_epoch=False),
        )
        return
    begin = scheduler.get('begin', 0) * unit
    end = begin + scheduler['T_max'] * unit if 'T_max' in scheduler else scheduler.get('end', math.inf) * unit
    of_run = f'the run has {steps} iterations' + (f' ({run.length} epochs)' if run.by_epoch else '')

    def within(share: float) -> float:
        """A share of the run in the scheduler's unit; epochs are whole, but where they are converted."""
        value = share * steps / unit
        return round(value, 2) if converted else max(round(value), 1)

    if begin == 0 and kind == 'LinearLR' and is_warm_up(scheduler):
        if end > steps * WARM_UP_SHARE:
            yield (
                f'warm-up takes {end:g} iterations, {of_run}',
                'The learning rate never gets where it should be.' if end > steps else 'Little is left to learn in.',
                dict(end=max(1, round(steps / 10)), by_epoch=False, convert_to_iter_based=False),
            )
    elif begin >= steps:
        yield (
            f'{kind} begins at {scheduler["begin"]:g}{" epochs" if by_epoch else ""}, {of_run}',
            'So it has no effect: the learning rate stays high, and the last, precise part of learning is missing.',
            dict(begin=within(0.76)),
        )
    late = [step for step in scheduler.get('milestones', []) if step * unit >= steps]
    if late:
        yield (
            f'{kind} lowers the learning rate at {late}, but {of_run}',
            'So it stays high, and the last, precise part of learning is missing.',
            dict(milestones=[within(0.67), within(0.92)]),
        )
    if kind in ('CosineAnnealingLR', 'PolyLR') and steps * 1.05 < end < math.inf:
        yield (
            f'{kind} goes down over {end:g} iterations, {of_run}',
            'So it stops half-way, and the last, precise part of learning is missing.',
            dict(T_max=within(1 - begin / steps)) if 'T_max' in scheduler else dict(end=within(1)),
        )


def _in_iterations(scheduler: dict, unit: int, steps: int) -> dict:
    """A scheduler's lengths in iterations: as they are, or converted where they are epochs of this run."""
    lengths = {key: scheduler[key] for key in ('begin', 'end', 'T_max', 'milestones') if key in scheduler}
    longest = max([0, *(value for one in lengths.values() for value in (one if isinstance(one, list) else [one]))])
    times = unit if longest * unit <= 1.05 * steps else 1
    return {
        key: [round(step * times) for step in value] if isinstance(value, list) else round(value * times)
        for key, value in lengths.items()
    }


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


def _longer(run: PlannedRun, updates: int) -> str:
    longer = math.ceil(run.length * 4 * FEW_STEPS / max(updates, 1))
    return (
        f'train_cfg = dict({"max_epochs" if run.by_epoch else "max_iters"}={longer})  # and the schedule in proportion'
    )
