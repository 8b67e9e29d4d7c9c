"""Learning rate and warm-up against the number of samples per step."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config

from ..registry import type_name
from .findings import NOTE, WARNING, Finding
from .planned_run import PlannedRun

# A rate this many times too high or low is said; within, it matters less than much else.
TOLERATED = 2
# Without warm-up, SGD at this rate often diverges in the first hundred steps.
NEEDS_WARM_UP = 0.005


def check_learning_rate(run: PlannedRun) -> Iterator[Finding]:
    """The rate is meant for as many samples per step as there are, by the linear rule (Goyal et al., 2017)."""
    optimizer = (run.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate, scaling = optimizer.get('lr'), run.cfg.get('auto_scale_lr') or {}
    if not isinstance(rate, (int, float)):
        yield Finding(
            NOTE, 'learning rate', 'no optim_wrapper.optimizer.lr: not checked', 'There are several, or none.'
        )
        return
    base, batch = scaling.get('base_batch_size'), run.samples_per_update
    if base is None:
        yield Finding(
            NOTE,
            'learning rate',
            f'no auto_scale_lr.base_batch_size says for how many samples per step the learning rate {rate:g} is meant',
            'So nobody can tell whether it fits, and --auto-scale-lr cannot fit it.',
            f'auto_scale_lr = dict(enable=False, base_batch_size={batch})',
        )
    elif not scaling.get('enable') and not base / TOLERATED <= batch <= base * TOLERATED:
        fit = rate * batch / base
        too = 'high' if batch < base else 'low'
        yield Finding(
            WARNING,
            'learning rate',
            f'the learning rate {rate:g} is meant for {base} samples per step (auto_scale_lr.base_batch_size), but '
            f'this run has {_product(run)}: {max(base / batch, batch / base):.3g} times too {too}; {fit:.3g} fits',
            'Too high, it diverges, or AP stays near zero; too low, it learns as much more slowly. '
            'With --auto-scale-lr it is fitted by itself; or write the rate and what it is for (both, so that this is '
            'not said again):',
            f'optim_wrapper = dict(optimizer=dict(lr={fit:.3g}))\nauto_scale_lr = dict(base_batch_size={batch})',
        )
    fitted = rate * batch / base if base and scaling.get('enable') else rate
    warms_up = any(map(is_warm_up, listed_schedulers(run.cfg)))
    if fitted >= NEEDS_WARM_UP and optimizer.get('type') == 'SGD' and not warms_up:
        yield Finding(
            WARNING,
            'learning rate',
            f'SGD begins at the full learning rate {fitted:g}, without warm-up',
            'New heads give large gradients at first, by which a trained backbone is spoilt or the loss becomes nan.',
            "param_scheduler = [dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=500), ...]",
        )


def listed_schedulers(cfg: Config) -> list[dict]:
    """The schedulers of a config, which may be one; several optimizers' own are left to who writes them."""
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        return [schedulers] if 'type' in schedulers else []
    return list(schedulers)


def is_warm_up(scheduler: dict) -> bool:
    """Whether it raises the rate from a part of it, from the first step on."""
    rises = scheduler.get('start_factor', scheduler.get('factor', 1 / 3)) < 1
    return type_name(scheduler.get('type')) in ('LinearLR', 'ConstantLR', 'OneCycleLR', 'QuadraticWarmupLR') and (
        rises and not scheduler.get('begin')
    )


def _product(run: PlannedRun) -> str:
    parts = [f'{run.batch_size} per process']
    parts += [f'{run.world_size} processes'] * (run.world_size > 1)
    parts += [f'{run.accumulated} steps added up'] * (run.accumulated > 1)
    return f'{run.samples_per_update}' + (f' ({" x ".join(parts)})' if len(parts) > 1 else '')
