"""Which of a training pipeline's transforms an export runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..registry import type_name


def cut_only(pipeline: Sequence[dict], augment: bool = False) -> list[dict]:
    """The transforms that load and cut; with `augment`, those behind the cut, too, but for the one that packs.

    Args:
        pipeline: Configs of a training pipeline's transforms.
        augment: Keep augmentation.

    Raises:
        ValueError: If there is no ``ChipSampler`` among them.
    """
    cut = _cut(pipeline)
    behind = [step for step in pipeline[cut + 1 :] if type_name(step['type']) != 'PackChipInputs']
    return [*pipeline[: cut + 1], *(behind if augment else [])]


def left_out_transforms(dataset: dict, augment: bool = False) -> list[str]:
    """Names of the transforms that training runs and an export does not.

    Args:
        dataset: Config of a training loader's data set: a ``ChipDataset``, or what mixes its chips.
        augment: As for :func:`cut_only`.
    """
    names = []
    while 'dataset' in dataset and type_name(dataset['type']) != 'ChipDataset':
        names += [type_name(step['type']) for step in dataset.get('pipeline', [])]
        dataset = dataset['dataset']
    pipeline = dataset['pipeline']
    inner = [] if augment else [type_name(step['type']) for step in pipeline[_cut(pipeline) + 1 :]]
    return [name for name in (*inner, *names) if name != 'PackChipInputs']


def _cut(pipeline: Sequence[dict]) -> int:
    for n, step in enumerate(pipeline):
        if type_name(step['type']) == 'ChipSampler':
            return n
    raise ValueError("the pipeline cuts no chips: write dict(type='mmsniper.ChipSampler') behind what loads")
