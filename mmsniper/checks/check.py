"""All checks of a config, or of a run that is about to begin."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import get_dist_info
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from ..datasets.annotations import build_checked, check_loaded
from ..registry import chip_dataset_of
from .annotation_files import check_files
from .classes import check_classes
from .disk import check_disk
from .findings import ERROR, NOTE, WARNING, Finding, of_error, ordered
from .first_batch import check_first_batch, random_model
from .heads import check_valid_ranges
from .images import check_images
from .learning_rate import check_learning_rate
from .logged import warnings_of
from .mixed_sizes import check_mixed_sizes
from .normalization import check_normalization
from .planned_run import PlannedRun
from .ranges import check_ranges
from .schedule import check_schedule
from .workers import check_workers

Check = Callable[[PlannedRun], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    check_files,
    check_classes,
    check_images,
    check_ranges,
    check_valid_ranges,
    check_learning_rate,
    check_schedule,
    check_normalization,
    check_mixed_sizes,
    check_workers,
    check_disk,
)


def check_run(run: PlannedRun, checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """Look at the built parts of a run; errors come first.

    Args:
        run: The run; nothing of it is changed.
        checks: Which.
    """
    findings = []
    for check in checks:
        try:
            findings += check(run)
        except Exception as error:  # a check that fails is no reason not to train
            what = f'{getattr(check, "__name__", check)} failed: {type(error).__name__}: {error}'
            findings.append(Finding(NOTE, 'checks', what, 'What it looks at is not checked.'))
    return ordered(findings)


def check_config(
    cfg: Config,
    all_images: bool = False,
    batch: bool = True,
    world_size: int | None = None,
    device: str | None = None,
) -> list[Finding]:
    """Build what a training config names, once, and look at all of it; errors come first.

    Args:
        cfg: The config; not changed.
        all_images: Decode every image, not some.
        batch: Send a batch through the network.
        world_size: Processes that the training will have; default those that there are.
        device: Where the batch goes; default where training would.
    """
    cfg = copy.deepcopy(cfg)
    if not cfg.get('train_dataloader') or not cfg.get('train_cfg'):
        what = 'the config has no train_dataloader, or no train_cfg'
        return [Finding(ERROR, 'config', what, 'It tests, or is a part of one that trains.')]
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    findings = list(_without_missing_pool(cfg)) + list(_weights(cfg))
    run = PlannedRun(cfg, world_size=world_size or get_dist_info()[1])
    parts = dict(train=_train_loader, val=_validation, model=partial(random_model, weightless=not batch))
    for name, build in parts.items():
        about = dict(train='training data', val='validation data').get(name, name)
        try:
            with warnings_of(about, findings):
                setattr(run, name, build(cfg))
        except Exception as error:  # whatever it is, it is what training would stop with
            what = error if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {error}'
            findings.append(of_error(about, ValueError(what)))
    checks = [partial(check, all_images=all_images) if check is check_images else check for check in CHECKS]
    checks += [partial(check_first_batch, device=device)] * batch
    with warnings_of('checks', findings):
        found = check_run(run, tuple(checks))
    return ordered(findings + found)


def _train_loader(cfg: Config) -> DataLoader:
    """The training loader."""
    loader = copy.deepcopy(cfg.train_dataloader)
    loader.update(num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    if 'ChipDataset' not in str(loader.dataset):
        loader.dataset = _whole_images(loader.dataset)
    return Runner.build_dataloader(loader, seed=0)


def _validation(cfg: Config) -> Dataset | None:
    return _whole_images(cfg.val_dataloader.dataset) if cfg.get('val_dataloader') else None


def _whole_images(cfg: ConfigDict) -> Dataset:
    """A data set of mmdet, whose COCO and VOC files are checked as they are read."""
    with_masks = any(step.get('with_mask') for step in cfg.get('pipeline') or [])
    dataset = build_checked(cfg, with_masks)
    dataset.full_init()
    check_loaded(dataset, with_masks)
    return dataset


def _without_missing_pool(cfg: Config) -> Iterator[Finding]:
    """Negative chips that are not mined yet are left out, and said."""
    chips = chip_dataset_of(cfg) or {}
    pool = (chips.get('negatives') or {}).get('ann_file')
    if pool and not Path(pool).exists():
        chips['negatives'] = None
        yield Finding(
            WARNING,
            'negative chips',
            f'{pool} does not exist; everything is checked without negative chips',
            'Training stops without it. The recipe trains an RPN, mines them, and trains with them:',
            f'mmsniper recipe {cfg.filename or "CONFIG"}',
        )


def _weights(cfg: Config) -> Iterator[Finding]:
    """Checkpoints on this machine that the config names are there."""
    backbone = (cfg.get('model') or {}).get('backbone')
    settings = backbone.get('init_cfg') if isinstance(backbone, dict) else None
    pretrained = [one.get('checkpoint') for one in (settings if isinstance(settings, list) else [settings or {}])]
    named = dict(load_from=cfg.get('load_from'), checkpoint=next(filter(None, pretrained), None))
    for key, path in named.items():
        if isinstance(path, str) and '://' not in path and not Path(path).exists():
            yield Finding(ERROR, 'weights', f'{key}={path!r} does not exist', 'Training would stop with this.')
