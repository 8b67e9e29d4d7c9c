"""The schedule against the number of iterations that the run has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..config_lines import text
from .findings import NOTE, WARNING, Finding
from .learning_rate import is_warm_up, listed_schedulers
from .planned_run import PlannedRun

# Fewer steps teach a detector little, pretrained or not.
FEW_STEPS = 500
# A warm-up takes this share of a run at most.
WARM_UP_SHARE = 1 / 3
# Settings of a scheduler that are lengths, and the kinds whose effect these alone decide.
LENGTHS = ('begin', 'end', 'T_max', 'milestones')
MENDED = ('LinearLR', 'ConstantLR', 'MultiStepLR', 'CosineAnnealingLR', 'PolyLR')
FOREVER = 10**8  # mmengine's default end is 10**9
ONE_EPOCH = 'To a loop of iterations the whole run is one epoch: the learning rate does not change as meant.'
HIGH = 'the learning rate stays high, and the last, precise part of learning is missing.'


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
    yield from _check_schedulers(run, listed_schedulers(run.cfg), steps)
    yield from _check_validation(run)


def _check_schedulers(run: PlannedRun, schedulers: list[dict], steps: int) -> Iterator[Finding]:
    """What is wrong with each; the last finding has the lines that mend all of it, if they can be told."""
    looks = [_Look(run, scheduler, steps) for scheduler in schedulers]
    faults = [fault for look in looks for fault in look.faults]
    mended = [look.mended() for look in looks]
    line = '' if None in mended else f'param_scheduler = {text(mended)}'
    for n, (what, why) in enumerate(faults, 1):
        yield Finding(WARNING, 'schedule', what, why, line if n == len(faults) else '')


class _Look:
    """One scheduler against the run, its lengths in iterations.

    Args:
        run: The run.
        scheduler: mmengine's settings.
        steps: Iterations of the run.
    """

    def __init__(self, run: PlannedRun, scheduler: dict, steps: int) -> None:
        self.scheduler, self.steps = scheduler, steps
        self.kind, self.faults = scheduler.get('type'), []
        self.changes: dict = {}
        self.of_run = f'the run has {steps} iterations' + (f' ({run.length} epochs)' if run.by_epoch else '')
        self.by_epoch = scheduler.get('by_epoch', True)
        converted = self.by_epoch and scheduler.get('convert_to_iter_based', False)
        self.lengths = {key: scheduler[key] for key in LENGTHS if key in scheduler}
        if self.kind == 'ReduceOnPlateauLR':  # follows the validations, in any loop
            return
        unit = run.steps_per_epoch if self.by_epoch else 1
        if self.by_epoch and not run.by_epoch and (not converted or 'end' not in scheduler):
            what = f'{self.kind} counts epochs (by_epoch=True, the default), but the loop counts iterations'
            if converted:
                what = f'{self.kind} has no end: in a loop of iterations, mmengine ends it after the first epoch'
            self._fault(what, ONE_EPOCH)
            longest = max([0, *(v for one in self.lengths.values() for v in _listed(one) if v < FOREVER)])
            if unit and not converted and longest * unit > 1.05 * steps:
                unit = 1  # they were meant as iterations
        self.known = unit is not None and self.kind in MENDED
        self.lengths = {key: _times(value, unit or 1) for key, value in self.lengths.items()}
        self._look_at_lengths()

    def _look_at_lengths(self) -> None:
        """Warm-up, begin, end and milestones lie within the run."""
        steps, begin, end = self.steps, self.lengths.get('begin', 0), self.lengths.get('end', FOREVER)
        if 'T_max' in self.lengths:
            end = begin + self.lengths['T_max']
        if begin == 0 and self.kind == 'LinearLR' and is_warm_up(self.scheduler):
            if end > steps * WARM_UP_SHARE:
                why = (
                    'The learning rate never gets where it should be.' if end > steps else 'Little is left to learn in.'
                )
                self._fault(f'warm-up takes {end:g} iterations, {self.of_run}', why, end=max(1, round(steps / 10)))
            return
        if begin >= steps:
            said = f'{self.scheduler["begin"]:g}{" epochs" if self.by_epoch else ""}'
            begin = int(0.76 * steps)
            self._fault(f'{self.kind} begins at {said}, {self.of_run}', f'So it has no effect: {HIGH}', begin=begin)
            if 'end' in self.lengths:
                self.changes['end'] = steps
        late = [step for step in self.lengths.get('milestones', ()) if step >= steps]
        if late:
            said = list(self.scheduler['milestones'])[-len(late) :]
            self._fault(
                f'{self.kind} lowers the learning rate at {said}, but {self.of_run}', f'So it does not: {HIGH}',
                milestones=[int(0.67 * steps), int(0.92 * steps)],
            )  # fmt: skip
        if self.kind in ('CosineAnnealingLR', 'PolyLR') and steps * 1.05 < end < FOREVER:
            self._fault(
                f'{self.kind} goes down over {end:g} iterations, {self.of_run}',
                'So it stops half-way, and the last, precise part of learning is missing.',
                end=steps,
            )
        if self.changes and 'T_max' in self.lengths:
            self.changes['T_max'] = steps - begin

    def _fault(self, what: str, why: str, **changes: object) -> None:
        self.faults.append((what, why))
        self.changes.update(changes)

    def mended(self) -> dict | None:
        """The scheduler without its faults, by iterations; as it is if it has none, None if that cannot be told."""
        if not self.faults:
            return dict(self.scheduler)
        if not self.known:
            return None
        kept = {k: v for k, v in self.scheduler.items() if k not in (*LENGTHS, 'convert_to_iter_based')}
        lengths = {key: value for key, value in self.lengths.items() if key == 'milestones' or value < FOREVER}
        return {**kept, 'by_epoch': False, **lengths, **self.changes}


def _times(value: float | Sequence[float], times: float) -> int | list[int]:
    """A length, or several, in iterations."""
    found = [round(one * times) for one in _listed(value)]
    return found if isinstance(value, (list, tuple)) else found[0]


def _listed(value: float | Sequence[float]) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


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
