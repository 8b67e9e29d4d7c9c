"""Whether a checkpoint is one of a detector; mmengine loads what fits and only prints the rest."""

from __future__ import annotations

from torch import nn

SHOWN = 4
BRANCH = 'focus_head.'


def check_weights(model: nn.Module, checkpoint: dict) -> None:
    """Refuse weights that do not fit a model.

    Args:
        model: The detector.
        checkpoint: As mmengine reads it: with ``state_dict``, or that itself.

    Raises:
        ValueError: If a weight is missing, too many, or of another shape; names some.
    """
    theirs = checkpoint.get('state_dict', checkpoint)
    theirs = {name.removeprefix('module.'): value for name, value in theirs.items() if _counts(name)}
    ours = {name: value for name, value in model.state_dict().items() if _counts(name)}
    # A detector with AutoFocus's branch and one without are the same but for it; a test by it asks for it itself.
    branches = [any(name.startswith(BRANCH) for name in names) for names in (theirs, ours)]
    if branches[0] != branches[1]:
        theirs, ours = ({n: v for n, v in part.items() if not n.startswith(BRANCH)} for part in (theirs, ours))
    faults = {
        'are missing': [name for name in ours if name not in theirs],
        'are of nothing in the model': [name for name in theirs if name not in ours],
        'have another shape': [
            f'{name} {tuple(theirs[name].shape)} instead of {tuple(value.shape)}'
            for name, value in ours.items()
            if name in theirs and theirs[name].shape != value.shape
        ],
    }
    said = [
        f'{len(names)} {what} ({", ".join(names[:SHOWN])}{", ..." if len(names) > SHOWN else ""})'
        for what, names in faults.items()
        if names
    ]
    if said:
        raise ValueError(
            f'the checkpoint does not fit the config: of {len(ours)} weights {"; ".join(said)}; name the config that '
            'it was trained with'
        )


def _counts(name: str) -> bool:
    """Batch norm's counter changes nothing in a test, and old checkpoints have none; mmdet 2 kept averages beside."""
    return not name.endswith('num_batches_tracked') and not name.startswith('ema_')
