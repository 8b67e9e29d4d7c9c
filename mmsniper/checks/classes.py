"""Class names of data sets, and heads with as many outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from logging import WARNING as LOG_WARNING
from typing import Any

from mmcv.cnn import VGG
from mmdet.models.detectors import RPN
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from mmengine.logging import print_log
from torch import nn

from ..config_lines import Name, one_line
from .findings import ERROR, Finding, of_error
from .planned_run import PlannedRun

Names = tuple[str, ...]


def check_classes(run: PlannedRun) -> Iterator[Finding]:
    """Training and validation have the same classes, and every head as many."""
    trained = class_names(getattr(run.data, 'metainfo', None))
    validated = class_names(getattr(run.val, 'metainfo', None))
    try:
        compare(trained, validated, 'train_dataloader has the classes {}, val_dataloader {}')
    except ValueError as error:
        yield of_error('classes', error)
    if trained and run.model is not None:
        yield from check_heads(run.model, trained, run.cfg.model)


def check_heads(model: nn.Module, classes: Names, cfg: dict) -> Iterator[Finding]:
    """Every head's ``num_classes`` is the number of classes; an RPN's is 1."""
    if isinstance(model, RPN):
        return
    wrong = {
        name: module.num_classes
        for name, module in model.named_modules()
        if hasattr(module, 'num_classes')
        # An RPN tells objects from background, whatever head it has.
        and not name.endswith('rpn_head')
        and not isinstance(module, (VGG, FusedSemanticHead))
        and module.num_classes != len(classes)
    }
    if wrong:
        said = ', '.join(f'{name} {n}' for name, n in wrong.items())
        few = 'a class beyond them is learnt as background, or ends the run with an IndexError'
        many = "results are numbered beyond the data set's classes, and validation fails"
        yield Finding(
            ERROR,
            'classes',
            f'the data set has {len(classes)} classes, {classes}, but num_classes is: {said}',
            f'{(few if min(wrong.values()) < len(classes) else many).capitalize()}.',
            lines_for_heads(wrong, len(classes), cfg),
        )


def lines_for_heads(heads: Iterable[str], n: int, cfg: dict) -> str:
    """What a config writes for `n` classes.

    Args:
        heads: Names of modules, such as 'roi_head.bbox_head.0'.
        n: Classes.
        cfg: The model's config.
    """
    tree: dict[str, Any] = {}
    first: dict[str, None] = {}
    for name in heads:
        path = [key for key in name.split('.') if not key.isdigit()]  # the stages of a cascade
        node, value, given = tree, Name(f'dict(num_classes={n})'), cfg
        for key in path:
            given = given.get(key) if isinstance(given, dict) else None
        if isinstance(given, list):  # which a config replaces as a whole
            first[f'{path[-1]}s = _base_.model.{".".join(path)}'] = None
            value = Name(f'[dict(head, num_classes={n}) for head in {path[-1]}s]')
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node.setdefault(path[-1], value)
    return '\n'.join([*first, f'model = {one_line(tree)}'])


def compare(one: Names | None, other: Names | None, text: str) -> None:
    """Refuse, or warn of, class names that differ; None is not known.

    Args:
        one: Class names.
        other: Class names.
        text: With two places for them.

    Raises:
        ValueError: If they are the same in another order, or another number.
    """
    if not one or not other or one == other:
        return
    text = text.format(one, other)
    if len(one) != len(other) or sorted(one) == sorted(other):
        raise ValueError(f'{text}: labels are compared by number, so write metainfo=dict(classes={one}) in both')
    print_log(f'{text}: labels are compared by number; see that each stands for the same', 'current', LOG_WARNING)


def class_names(metainfo: Any) -> Names | None:
    """The class names of meta information; of joined data sets' only if they agree."""
    parts = metainfo if isinstance(metainfo, (list, tuple)) else [metainfo or {}]
    found = {_names(part.get('classes', part.get('CLASSES'))) for part in parts}
    return found.pop() if len(found) == 1 else None


def _names(classes: Sequence[str] | str | None) -> Names | None:
    return tuple(classes) if classes and not isinstance(classes, str) else None
