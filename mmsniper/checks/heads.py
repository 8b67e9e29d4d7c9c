"""Heads, assigners and samplers that know no valid ranges, in a detector that trains on chips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from mmdet.models.dense_heads import RPNHead, VFNetHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.models.task_modules.samplers import BaseSampler, PseudoSampler
from torch import nn

from ..models import (
    ValidRangeAssigner,
    ValidRangeATSSAssigner,
    ValidRangeFCOSHead,
    ValidRangeRoIAssigner,
    ValidRangeSampler,
)
from .findings import ERROR, NOTE, WARNING, Finding
from .planned_run import PlannedRun

OURS = ValidRangeAssigner, ValidRangeATSSAssigner, ValidRangeRoIAssigner


class Labeller(NamedTuple):
    """What labels priors in a detector.

    Attributes:
        place: The module, such as 'rpn_head'.
        kind: Its type, by name.
        known: Whether it goes by valid ranges.
        cascade: Whether it is one of a cascade's.
        rpn: Whether it is an RPN's.
    """

    place: str
    kind: str
    known: bool
    cascade: bool = False
    rpn: bool = False


def check_valid_ranges(run: PlannedRun) -> Iterator[Finding]:
    """On chips every head labels by valid range; on whole images none does."""
    if run.model is None or run.data is None:
        return
    found = list(labellers(run.model))
    plain, ours = [one for one in found if not one.known], [one for one in found if one.known]
    if run.chips is None and ours and not _packs_chips(run):
        yield Finding(
            ERROR,
            'valid ranges',
            f'{_said(ours)} label{"s" if len(ours) == 1 else ""} by valid range, but the data are no chips',
            "Their ground truth has no valid flags, so the first step fails; use mmdet's own, or ChipDataset.",
            "_base_ = ['configs/_base_/datasets/sniper_coco_detection.py', ...]",
        )
    elif run.chips is not None and plain:
        lines = lines_for(plain)
        yield Finding(
            WARNING if lines else NOTE,
            'valid ranges',
            f'trained on chips, but on every object in them, whatever its size: {_said(plain)} know'
            f'{"s" if len(plain) == 1 else ""} no valid ranges',
            'So objects too small or too large for a scale are taught there, and cut ones as whole, which is training '
            'on random crops, not SNIPER.'
            if lines
            else 'There is no assigner of ours for it; for an RPN, anchor heads, ATSS, FCOS and RoI heads there is.',
            lines,
        )


def labellers(model: nn.Module) -> Iterator[Labeller]:
    """Every head's assigners and RoI sampler; a dense head without one labels by itself."""
    for name, module in model.named_modules():
        if not isinstance(module, (BaseDenseHead, BaseRoIHead)):
            continue
        parts = [
            (part, isinstance(value, list))  # a cascade has a list of them
            for value in vars(module).values()
            for part in (value if isinstance(value, list) else [value])
        ]
        if isinstance(module, VFNetHead):  # its loss takes no weights, so nothing could be left out
            yield Labeller(name, 'VFNetHead', False)
            continue
        assigners = {type(part): cascade for part, cascade in parts if isinstance(part, BaseAssigner)}
        for kind, cascade in assigners.items():
            yield Labeller(name, kind.__name__, issubclass(kind, OURS), cascade, isinstance(module, RPNHead))
        if isinstance(module, BaseRoIHead):
            samplers = {type(part): cascade for part, cascade in parts if isinstance(part, BaseSampler)}
            for kind, cascade in samplers.items():
                if not issubclass(kind, PseudoSampler) or kind is ValidRangeSampler:
                    yield Labeller(name, kind.__name__, kind is ValidRangeSampler, cascade)
        elif not assigners:
            yield Labeller(name, type(module).__name__, isinstance(module, ValidRangeFCOSHead))


RPN = "dict(type='mmsniper.ValidRangeAssigner')"
ROI = (
    "assigner=dict(type='mmsniper.ValidRangeRoIAssigner'), "
    "sampler=dict(_delete_=True, type='mmsniper.ValidRangeSampler', num=300)"
)
STAGE = (
    "dict(stage, assigner=dict(stage.assigner, type='mmsniper.ValidRangeRoIAssigner'), "
    "sampler=dict(type='mmsniper.ValidRangeSampler', num=300))"
)


def lines_for(plain: list[Labeller]) -> str:
    """What a config writes so that these label by valid range; '' if nothing of ours can."""
    first, train_cfg, head = [], {}, ''
    places = Counter(one.place for one in plain)
    for one in plain:
        part = one.place.split('.')[-1]
        if part != 'roi_head' and places[one.place] > 1:  # they take turns, each for a purpose of its own
            continue
        if one.rpn and one.kind == 'MaxIoUAssigner':
            train_cfg['rpn'] = f'dict(assigner={RPN})'
        elif part == 'roi_head' and one.cascade:
            first = ['stages = _base_.model.train_cfg.rcnn']
            train_cfg['rcnn'] = f'[{STAGE} for stage in stages]'
        elif part == 'roi_head':
            train_cfg['rcnn'] = f'dict({ROI})'
        elif one.kind == 'MaxIoUAssigner':
            train_cfg['assigner'] = RPN
        elif one.kind == 'ATSSAssigner':
            train_cfg['assigner'] = "dict(type='mmsniper.ValidRangeATSSAssigner')"
        elif one.kind == 'FCOSHead':
            head = f"{part}=dict(type='mmsniper.ValidRangeFCOSHead')"
    inner = ', '.join(f'{key}={value}' for key, value in train_cfg.items())
    settings = ', '.join(([f'train_cfg=dict({inner})'] if inner else []) + [head] * bool(head))
    return '\n'.join([*first, f'model = dict({settings})']) if settings else ''


def _said(found: list[Labeller]) -> str:
    return ', '.join(f'{one.place} ({one.kind})' if one.place else one.kind for one in found)


def _packs_chips(run: PlannedRun) -> bool:
    """Whether a ChipSampler cuts chips in an ordinary pipeline."""
    return 'ChipSampler' in str(run.cfg.train_dataloader)
