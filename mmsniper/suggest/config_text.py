"""Writes a suggestion as a config that inherits the base and trains as it is."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config_lines import Name, text, written_ranges, written_scales
from ..configs import home
from .base import Base
from .data_files import DataFiles
from .fingerprint import Fingerprint
from .schedule import rpn_options
from .suggestion import Suggestion

# Negative chips per positive one: at equal pixels they take its place (docs/measured.md). The demo has 2 for 5.
NEGATIVES = 1 / 4
SCALES_SAY = '# Scales: zooms or (long edge, short edge). Ranges: on sqrt(width * height) of a box, image pixels.'


def config_text(data: Fingerprint, base: Base, found: Suggestion, files: DataFiles, head: str) -> str:
    """The text of the config.

    Args:
        data: The data set.
        base: What is inherited from.
        found: Scales, ranges, schedule.
        files: Data to name.
        head: What the comment on top says.
    """
    root = Path(os.path.commonpath([files.train.parent, files.val.parent, files.images, files.val_images]))
    schedule, planner = found.schedule, found.planner
    source = {}
    for name, ann_file, images in (('train', files.train, files.images), ('val', files.val, files.val_images)):
        prefix = os.path.relpath(images, root)
        source[name] = dict(
            data_root=os.path.join(root, ''),
            ann_file=os.path.relpath(ann_file, root),
            data_prefix=dict(img='' if prefix == '.' else f'{prefix}/'),
            metainfo=Name('metainfo'),
        )
    chips = dict(
        planner=dict(
            scales=written_scales(planner.scales),
            valid_ranges=written_ranges(planner.valid_ranges.tolist()),
            chip_size=planner.chip_size,
            stride=int(planner.stride),
        ),
        # mmdet drops images by their size and without objects, unless told.
        dataset=dict(_delete_=True, type='CocoDataset', **source['train'], filter_cfg=dict(filter_empty_gt=False)),
    )
    chips_say = f'{schedule.steps} steps of {schedule.batch_size} chips'
    if base.rpn is not None:
        per_image = max(round(NEGATIVES * found.score.chips_per_image), 1)
        chips['negatives'] = dict(per_image=per_image)
        more = 1 + per_image / found.score.chips_per_image
        chips_say += f', up to {more * schedule.steps:.0f} with {per_image} negative per image and epoch'
    workers = base.cfg.train_dataloader.num_workers
    pipeline = test_pipeline(base.cfg, found)
    classes = dict(classes=data.classes)
    if data.region_classes:
        classes['ignored_categories'] = data.region_classes
    optimizer = dict(lr=schedule.lr)
    parts: list[tuple[str, Any]] = [
        ('num_classes', len(data.classes)),
        ('model', with_num_classes(base.cfg.model.to_dict(), len(data.classes))),
        ('metainfo', classes),
        (SCALES_SAY, None),
        (
            'train_dataloader',
            dict(
                batch_size=schedule.batch_size,
                num_workers=min(workers, 4),
                persistent_workers=True,
                dataset=nested(base.cfg.train_dataloader.dataset, chips),
            ),
        ),
        (f'# For mmsniper test without --tta: at this one scale {found.single.comfortable:.0%} are well seen.', None),
        ('test_pipeline', pipeline),
        (
            'val_dataloader',
            dict(
                num_workers=min(workers, 2),
                dataset=dict(
                    _delete_=True,
                    type='mmsniper.CheckedCocoDataset',
                    **source['val'],
                    test_mode=True,
                    pipeline=Name('test_pipeline'),
                ),
            ),
        ),
        ('test_dataloader', Name('val_dataloader')),
        ('val_evaluator', evaluator(base.cfg, files)),
        ('test_evaluator', Name('val_evaluator')),
        ('# Those of the planner, for mmsniper test --tta and for validation.', None),
        ('tta_model', dict(tta_cfg=dict(scales='planner', ranges='planner'))),
        ('val_cfg', dict(type='mmsniper.MultiScaleValLoop')),
        (f'# {chips_say}.', None),
        ('train_cfg', dict(max_epochs=schedule.epochs, val_interval=schedule.val_interval)),
        ('param_scheduler', schedule.param_scheduler),
        ('optim_wrapper', dict(optimizer=optimizer)),
        ('auto_scale_lr', dict(base_batch_size=schedule.batch_size)),
        (
            'default_hooks',
            dict(
                checkpoint=dict(interval=schedule.val_interval, max_keep_ckpts=3),
                logger=dict(interval=max(min(50, schedule.steps_per_epoch // 2), 1)),
            ),
        ),
    ]
    if base.rpn is not None:
        parts += [
            ('# Of the RPN that mines the negative chips (mmsniper recipe): its part of the epochs, this batch.', None),
            ('rpn_options', rpn_options(base, schedule, planner.chip_size)),
        ]
    lines = [*(f'# {line}'.rstrip() for line in head.splitlines()), f'_base_ = {base_string(base.path)!r}', '']
    for name, value in parts:
        lines.append(name if value is None else f'{name} = {text(value)}')
    return '\n'.join(lines) + '\n'


def base_string(base: str) -> str:
    """What ``_base_`` says: the name of one of our configs, which holds on any machine, or the path of another.

    Args:
        base: Path of the base config.
    """
    path, ours = Path(base).resolve(), home() / 'configs'
    return f'mmsniper::{path.relative_to(ours).as_posix()}' if path.is_relative_to(ours) else str(path)


def test_pipeline(cfg: Config, found: Suggestion) -> list[dict]:
    """The base's test pipeline, with the best single scale for these objects."""
    steps = copy.deepcopy([step.to_dict() for step in cfg.val_dataloader.dataset.pipeline])
    for step in steps:
        if step['type'] == 'Resize':
            for key in ('scale', 'scale_factor'):
                step.pop(key, None)
            scale = found.single_scale
            step.update(
                dict(scale=written_scales([scale])[0]) if isinstance(scale, tuple) else dict(scale_factor=scale)
            )
    return steps


def evaluator(cfg: Config, files: DataFiles) -> dict:
    """The base's evaluator for these files; COCO's of boxes where the base has another's."""
    own = cfg.val_evaluator
    if isinstance(own, dict) and own.get('type', '').endswith('CocoMetric'):
        return dict(ann_file=str(files.val))
    return dict(_delete_=True, type='CocoMetric', ann_file=str(files.val), metric='bbox')


def with_num_classes(model: dict, n: int) -> dict:
    """What a model's config must say for so many classes, and no more; lists are inherited as a whole."""
    found: dict = {}
    for key, value in model.items():
        if key == 'num_classes':
            found[key] = n
        elif key == 'rpn_head':
            continue
        elif isinstance(value, dict):
            if inner := with_num_classes(value, n):
                found[key] = inner
        elif isinstance(value, list) and any(isinstance(part, dict) and with_num_classes(part, n) for part in value):
            found[key] = [merged(part, with_num_classes(part, n)) if isinstance(part, dict) else part for part in value]
    return found


def merged(old: dict, new: dict) -> dict:
    """A dict with another one's values over it."""
    both = {key: merged(old[key], value) if isinstance(value, dict) else value for key, value in new.items()}
    return {**old, **both}


def nested(dataset: dict, chips: dict) -> dict:
    """The chips' settings as deep as the ChipDataset lies in the base's data set."""
    return chips if dataset['type'] == 'mmsniper.ChipDataset' else dict(dataset=nested(dataset['dataset'], chips))
