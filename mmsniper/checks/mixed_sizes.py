"""Batches of mixed chip sizes against the network and the length of the training."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets import MixedSizeBatchSampler
from ..models.batch_norm import batch_norms
from ..registry import type_name
from .findings import NOTE, WARNING, Finding
from .planned_run import PlannedRun


def check_mixed_sizes(run: PlannedRun) -> Iterator[Finding]:
    """Sizes suit the network's padding, the schedule ends with the training, batch norm is of what is tested."""
    batches = None if run.train is None else run.train.batch_sampler
    if not isinstance(batches, MixedSizeBatchSampler):
        return
    divisor = getattr(getattr(run.model, 'data_preprocessor', None), 'pad_size_divisor', 1)
    if padded := [size for size in batches.sizes if size % divisor]:
        near = [max(round(size / divisor), 1) * divisor for size in padded]
        yield Finding(
            WARNING,
            'mixed sizes',
            f'the data preprocessor pads to multiples of {divisor}, and sizes {padded} are none',
            f'Their batches have more pixels than is counted. Take {near} in their place, and be told at once:',
            f'train_dataloader = dict(batch_sampler=dict(pad_size_divisor={divisor}))',
        )
    kind, epochs = batches.schedule, batches.epochs
    if kind != 'alternating' and len(batches.shares) > 1 and run.by_epoch and epochs != run.length:
        yield Finding(
            WARNING,
            'mixed sizes',
            f'the schedule {kind!r} is of {epochs} epochs, the training of {run.length}',
            'Later epochs have the last sizes; what a shorter training leaves out it never sees.',
            f'train_dataloader = dict(batch_sampler=dict(schedule=dict(epochs={run.length})))',
        )
    hooks = [type_name(hook.get('type')) for hook in run.cfg.get('custom_hooks') or []]
    n_sizes = int((batches.shares[-1] > 0).sum())
    trained = {} if run.model is None else batch_norms(run.model)[0]
    averages = any(layer.running_mean is not None for layer in trained.values())
    if n_sizes > 1 and averages and 'BatchNormCalibrationHook' not in hooks:
        yield Finding(
            NOTE,
            'mixed sizes',
            f"batch norm's averages are of {n_sizes} sizes, a test is of one",
            'Statistics of the tested size may serve it better; `mmsniper calibrate CONFIG CHECKPOINT` makes them '
            'later, too.',
            "custom_hooks = [dict(type='mmsniper.BatchNormCalibrationHook')]",
        )
