"""Batches of mixed chip sizes against the network and the length of the training."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets import MixedSizeBatchSampler
from ..models.batch_norm import batch_norms
from .findings import NOTE, WARNING, Finding
from .planned_run import PlannedRun

# Copies of so many chips are compared.
COMPARED = 8


def check_mixed_sizes(run: PlannedRun) -> Iterator[Finding]:
    """Sizes suit the network's padding, the schedule ends with the training, batch norm is of what is tested."""
    batches = run.mixed_sizes
    if batches is None:
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
    n_sizes = int((batches.shares[-1] > 0).sum())
    trained = {} if run.model is None else batch_norms(run.model)[0]
    averages = any(layer.running_mean is not None for layer in trained.values())
    if n_sizes > 1 and averages and not run.has_hook('BatchNormCalibrationHook'):
        yield Finding(
            NOTE,
            'mixed sizes',
            f"batch norm's averages are of {n_sizes} sizes, a test is of one",
            'Statistics of the tested size may serve it better; `mmsniper calibrate CONFIG CHECKPOINT` makes them '
            'later, too.',
            "custom_hooks = [dict(type='mmsniper.BatchNormCalibrationHook')]",
        )
    yield from _cut(run, batches)  # last, as an image that cannot be read ends it


def _cut(run: PlannedRun, batches: MixedSizeBatchSampler) -> Iterator[Finding]:
    """Samples have the size that their step counts, and copies of a chip differ."""
    load = run.train.dataset.__getitem__
    for s, size in enumerate(batches.sizes):
        shape = tuple(load(batches.some_chips(s, 1)[0])['inputs'].shape[-2:])
        if shape != (size, size):
            yield Finding(
                WARNING,
                'mixed sizes',
                f'a chip of {size} px comes out of the pipeline with {shape[1]} x {shape[0]}',
                'So steps have other pixels than are counted. Leave out the transform behind ChipSampler that changes '
                'the size, such as Pad, Resize or a crop.',
            )
    if (copies := int(batches.copies.max())) > 1:
        keys = batches.some_chips(int(batches.copies.argmax()), COMPARED)
        pairs = [[load(key.again(0, copy))['inputs'] for copy in (0, 1)] for key in keys]
        if same := sum(bool((one == other).all()) for one, other in pairs):
            yield Finding(
                WARNING,
                'mixed sizes',
                f"regime 'D+' has {copies} copies of a chip; of {COMPARED} tried, {same} came out twice alike",
                'Copies are to be augmented differently, and a flip alone leaves half of them the same. Behind '
                'ChipSampler, add',
                "dict(type='PhotoMetricDistortion')",
            )
