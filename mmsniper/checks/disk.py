"""Disk for checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from .findings import ERROR, NOTE, WARNING, Finding
from .planned_run import PlannedRun

# Copies of the weights that an optimizer keeps.
MOMENTS = dict(SGD=1, Adam=2, AdamW=2, Adamax=2, NAdam=2, RAdam=2, RMSprop=1, Adagrad=1, Lion=1)


def check_disk(run: PlannedRun) -> Iterator[Finding]:
    """The checkpoints fit what is free where they are written."""
    hook = (run.cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if run.model is None:
        return
    one, count = checkpoint_bytes(run), kept_checkpoints(run, hook)
    place = Path(hook.get('out_dir') or run.cfg.get('work_dir') or 'work_dirs').absolute()
    free = shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free
    free += sum(path.stat().st_size for path in place.glob('*.pth'))  # of a run that is resumed, or begun anew
    what = f'{count} checkpoints of {one / 1e6:.0f} MB are {count * one / 1e9:.1f} GB; {free / 1e9:.1f} GB are free'
    few = 'default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))'  # one could be lost while the next is written
    if count * one > free:
        yield Finding(ERROR, 'disk', f'{what} at {place}', 'The run would stop when the disk is full.', few)
    elif count * one > free / 2:
        yield Finding(WARNING, 'disk', f'{what} at {place}', 'Little is left for anything else.', few)
    else:
        yield Finding(NOTE, 'disk', what, 'Enough.')


def checkpoint_bytes(run: PlannedRun) -> int:
    """Size of a checkpoint: weights, the optimizer's state, and a moving average if there is one."""
    kind = ((run.cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    state = _bytes(run.model) + sum(buffer.nbytes for buffer in run.model.buffers())
    averaged = any(hook.get('type') == 'EMAHook' for hook in run.cfg.get('custom_hooks') or [])
    return state * (1 + averaged) + MOMENTS.get(str(kind), 1) * _bytes(run.model, trained=True)


def kept_checkpoints(run: PlannedRun, hook: dict) -> int:
    """How many checkpoints there are at a time at most, one more than are kept."""
    by_epoch, interval = hook.get('by_epoch', True), hook.get('interval', 1)
    length = run.cfg.train_cfg.get('max_epochs') if by_epoch else run.steps
    written = (length or 1) // interval + bool((length or 1) % interval) if interval > 0 else 0
    most = hook.get('max_keep_ckpts', -1)
    return (min(written, most + 1) if most > 0 else written) + bool(hook.get('save_best'))


def _bytes(model: nn.Module, trained: bool = False) -> int:
    return sum(weights.nbytes for weights in model.parameters() if weights.requires_grad or not trained)
