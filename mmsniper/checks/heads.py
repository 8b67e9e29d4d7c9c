"""Heads, assigners and samplers that know no valid ranges, in a detector that trains on chips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from mmdet.models.dense_heads import DETRHead, RPNHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.models.task_modules.samplers import BaseSampler, PseudoSampler
from torch import nn

from ..inherit import ASSIGNED_HEADS, OWN_DETECTORS, OWN_HEADS
from ..models import ValidRange, ValidRangeDINO, ValidRangeDINOHead, ValidRangeRoIAssigner, ValidRangeSampler
from .findings import ERROR, NOTE, WARNING, Finding
from .planned_run import PlannedRun

OURS = ValidRange, ValidRangeRoIAssigner


class Labeller(NamedTuple):
    """What labels priors in a detector.

    Attributes:
        place: The module, such as 'rpn_head'.
        kind: Its type, by name.
        known: Whether it goes by valid ranges.
        cascade: Whether it is one of a cascade's.
        rpn: Whether it is an RPN's.
        setting: What builds it, a key of train_cfg or of the model; '' where a head is not known to leave out what its
            assigner does.
    """

    place: str
    kind: str
    known: bool
    cascade: bool = False
    rpn: bool = False
    setting: str = 'assigner'


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
    elif (
        run.chips is not None
        and not isinstance(run.model, ValidRangeDINO)
        and (heads := [name for name, part in run.model.named_modules() if isinstance(part, ValidRangeDINOHead)])
    ):
        yield Finding(
            ERROR,
            'valid ranges',
            f'{heads[0]} (ValidRangeDINOHead) in a {type(run.model).__name__}',
            'It makes denoising queries of invalid objects, too, and the first step fails.',
            f'model = dict(type={OWN_DETECTORS["DINO"]!r})',
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
            else 'It is not known how this head could leave objects out; configs/sniper/README.md says of which it is.',
            lines,
        )


def labellers(model: nn.Module) -> Iterator[Labeller]:
    """Every head's assigners and RoI sampler; a head that labels, or weighs its labels, by itself is one."""
    for name, module in model.named_modules():
        if not isinstance(module, (BaseDenseHead, DETRHead, BaseRoIHead)):
            continue
        kind, bases = type(module).__name__, {base.__name__ for base in type(module).__mro__}
        if bases & OWN_HEADS.keys():
            ours = any(path.split('.')[-1] in bases for path in OWN_HEADS.values())
            yield Labeller(name, kind, ours, setting='')
            continue
        parts = [
            (key, part, isinstance(value, list))  # a cascade has a list of them
            for key, value in vars(module).items()
            for part in (value if isinstance(value, list) else [value])
        ]
        found = {}
        # TOOD has two: initial_assigner, which is first its assigner, too, and the one that follows.
        for key, part, cascade in sorted(parts, key=lambda one: one[0] != 'initial_assigner'):
            if isinstance(part, BaseAssigner):
                setting = key if key == 'initial_assigner' else 'assigner'
                found.setdefault(type(part), (cascade, setting if kind in ASSIGNED_HEADS else ''))
        for of, (cascade, setting) in found.items():
            yield Labeller(name, of.__name__, issubclass(of, OURS), cascade, isinstance(module, RPNHead), setting)
        if isinstance(module, BaseRoIHead):
            samplers = {type(part): cascade for _, part, cascade in parts if isinstance(part, BaseSampler)}
            for of, cascade in samplers.items():
                if not issubclass(of, PseudoSampler) or of is ValidRangeSampler:
                    yield Labeller(name, of.__name__, of is ValidRangeSampler, cascade)
        elif not found:
            yield Labeller(name, kind, False)


RANGED = "dict(type='mmsniper.ValidRange', assigner={!r})"
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
    first, train_cfg, settings = [], {}, {}
    places = Counter((one.place, one.setting) for one in plain)
    for one in plain:
        part = one.place.split('.')[-1]
        # Several take turns, each for a purpose of its own.
        if part != 'roi_head' and places[one.place, one.setting] > 1:
            continue
        if one.kind in OWN_HEADS:
            settings[part] = f'dict(type={OWN_HEADS[one.kind]!r})'
            detector = OWN_DETECTORS.get(one.kind.removesuffix('Head'))
            settings.update(dict(type=repr(detector)) if detector else {})
        elif one.rpn and one.kind == 'MaxIoUAssigner':
            train_cfg['rpn'] = f'dict(assigner={RANGED.format(one.kind)})'
        elif part == 'roi_head' and one.cascade:
            first = ['stages = _base_.model.train_cfg.rcnn']
            train_cfg['rcnn'] = f'[{STAGE} for stage in stages]'
        elif part == 'roi_head':
            train_cfg['rcnn'] = f'dict({ROI})'
        elif one.setting:
            train_cfg[one.setting] = RANGED.format(one.kind)
    if train_cfg:
        settings = {'train_cfg': f'dict({_arguments(train_cfg)})', **settings}
    return '\n'.join([*first, f'model = dict({_arguments(settings)})']) if settings else ''


def _arguments(settings: dict[str, str]) -> str:
    return ', '.join(f'{key}={value}' for key, value in settings.items())


def _said(found: list[Labeller]) -> str:
    return ', '.join(f'{one.place} ({one.kind})' if one.place else one.kind for one in found)


def _packs_chips(run: PlannedRun) -> bool:
    """Whether a ChipSampler cuts chips in an ordinary pipeline."""
    return 'ChipSampler' in str(run.cfg.train_dataloader)
