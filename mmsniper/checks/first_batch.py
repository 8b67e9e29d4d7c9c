"""One batch through the network: its loss is finite, and what memory a step takes."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import nn

from ..datasets.size_mix import TOLERANCE
from ..models.memory import kept_for_backward
from .disk import MOMENTS
from .findings import ERROR, NOTE, WARNING, Finding
from .logged import only_errors
from .planned_run import PlannedRun
from .workers import total_memory

# Without a GPU so few samples go through the network, and memory is estimated from them.
SAMPLES_ON_CPU = 2


def random_model(cfg: Config, weightless: bool = False) -> nn.Module:
    """The detector with random weights: nothing is downloaded for a check.

    Args:
        cfg: The config.
        weightless: It is only to be looked at: its weights need no memory, if it can be built so.
    """
    settings = copy.deepcopy(cfg.model)
    for node in _dicts(settings):
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('type') == 'Pretrained':
            node['init_cfg'] = None
    if weightless:
        with contextlib.suppress(Exception), torch.device('meta'):  # some compute with numbers as they are built
            return MODELS.build(copy.deepcopy(settings))
    return MODELS.build(settings)


def check_first_batch(run: PlannedRun, device: str | None = None) -> Iterator[Finding]:
    """Load, collate and learn a batch, on the device that training would use.

    Args:
        run: With data and model, which is changed: its weights are set.
        device: Another device.
    """
    if run.train is None or run.model is None:
        yield Finding(NOTE, 'first batch', 'not tried', 'It needs the data and the model.')
        return
    device = device or get_device()
    on_gpu = device.startswith('cuda')
    step = heaviest_step(run)
    keys = step if on_gpu else step[:: max(len(step) // SAMPLES_ON_CPU, 1)][:SAMPLES_ON_CPU]
    n_samples = len(keys)
    try:
        batch = run.train.collate_fn([run.train.dataset[key] for key in keys])
    except Exception as error:  # of any transform
        yield Finding(ERROR, 'first batch', f'cannot be loaded: {error}', 'Training would stop with this.')
        return
    with only_errors():  # mmengine says of every weight how it was set
        run.model.init_weights()
    run.model.to(device).train()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    try:
        losses, saved = losses_of(run.model, batch, backward=on_gpu)
    except torch.cuda.OutOfMemoryError:
        total = torch.cuda.get_device_properties(device).total_memory
        why, lines = _fewer(run, 0.5)
        yield Finding(
            ERROR,
            'memory',
            f'{n_samples} samples do not fit {total / 1e9:.0f} GB of {device}',
            f'Training would stop with this. {why}',
            lines,
        )
        return
    except Exception as error:  # of any model
        what = f'the network fails with {type(error).__name__}: {error}'
        yield Finding(ERROR, 'first batch', what, 'Training would stop with this at its first step.')
        return
    if broken := [name for name, value in losses.items() if not math.isfinite(value)]:
        yield Finding(
            ERROR,
            'first batch',
            f'with random weights, {", ".join(broken)} of {losses} are not finite',
            'Training would learn nothing from here on. Look at data_preprocessor (mean, std) and at the loss.',
        )
    else:
        said = ', '.join(f'{name} {value:.3g}' for name, value in losses.items() if 'loss' in name)
        yield Finding(NOTE, 'first batch', f'{n_samples} samples on {device}: {said}', 'Random weights; all finite.')
    yield from _memory(run, saved * len(step) // n_samples, step, device if on_gpu else None)


def heaviest_step(run: PlannedRun) -> list:
    """What a step loads from the training data: indices; of mixed chip sizes keys, of the step of the most pixels."""
    mixed = run.mixed_sizes
    if mixed is None:
        return [n * len(run.train.dataset) // run.batch_size for n in range(run.batch_size)]
    samples = mixed.chips * mixed.copies
    pixels = samples * np.square(mixed.sizes)
    most = pixels * (1 + TOLERANCE) ** 2 >= pixels.max()  # as many pixels as a regime keeps to
    s = int(np.argmax(np.where(most, samples, 0)))  # RoIs are per sample
    return mixed.some_chips(s, int(samples[s]))


def losses_of(model: nn.Module, batch: dict, backward: bool) -> tuple[dict[str, float], int]:
    """The losses of a batch, and the bytes that the network keeps for its backward pass, weights left out."""
    data = model.data_preprocessor(batch, True)
    hub = MessageHub.get_current_instance()
    if hub.get_info('epoch') is None:  # before a training; TOOD asks for it
        hub.update_info('epoch', 0)
    with kept_for_backward(model) as kept:
        losses = model(**data, mode='loss')
    total, named = model.parse_losses(losses)
    if backward:
        total.backward()
    return {name: float(torch.as_tensor(value).detach()) for name, value in named.items()}, sum(kept.values())


def _memory(run: PlannedRun, saved: int, step: list, device: str | None) -> Iterator[Finding]:
    """Of a step: measured where there is a GPU, else estimated, and compared with what there is."""
    mixed = run.mixed_sizes
    of_size = '' if mixed is None else f' of {step[0].chip_size or mixed.sampler.dataset.planner.chip_size} px'
    kind = ((run.cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('type')
    weights = sum(weight.nbytes for weight in run.model.parameters())
    state = weights * MOMENTS.get(str(kind), 1)
    if device:
        needed, total = torch.cuda.max_memory_allocated(device) + state, torch.cuda.get_device_properties(device)
        total, how = total.total_memory, 'measured'
    else:
        needed = weights * 2 + state + saved
        total, how = total_memory(), f'estimated from {min(len(step), SAMPLES_ON_CPU)} samples, in single precision'
    what = f'a step of {len(step)} samples{of_size} takes some {needed / 1e9:.1f} GB ({how})'
    if total and needed > 0.95 * total and (device or get_device() == 'cpu'):
        what += f', of {total / 1e9:.1f} GB'
        why, lines = _fewer(run, 0.8 * total / needed)
        yield Finding(WARNING, 'memory', what, f'The run may end for lack of it. {why}', lines)
    else:
        yield Finding(NOTE, 'memory', what, 'On a GPU, or on this machine without one.')


def _fewer(run: PlannedRun, share: float) -> tuple[str, str]:
    """Why, and lines for a batch of about a share of the samples, with as many per update as before, or nearly."""
    fit = run.fitting_batch(range(max(1, int(run.batch_size * share)), 0, -1))
    if run.batch_size == 1 or fit is None:
        least = 'One sample is the least' if fit else 'No smaller number of chips keeps to its pixels'
        why = f'{least}. Half precision takes about half of the memory, smaller chips take less, too:'
        return why, "optim_wrapper = dict(type='AmpOptimWrapper')"
    more = max(1, round(run.batch_size / fit))
    if run.has_hook('BatchRateHook'):  # it goes step by step
        why = 'With fewer samples, the learning rate is for fewer, too (--auto-scale-lr fits it):'
        return why, f'train_dataloader = dict(batch_size={fit})'
    why = 'Fewer samples, added up over more steps, learn nearly the same:'
    lines = (
        f'train_dataloader = dict(batch_size={fit})\noptim_wrapper = dict(accumulative_counts={more * run.accumulated})'
    )
    if not run.by_epoch:
        lines += f'\ntrain_cfg = dict(max_iters={run.length * more})  # and the schedule in proportion'
    return why, lines


def _dicts(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from _dicts(child)
