"""Batch norm against the number of samples it takes its statistics of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

from mmengine.config import Config
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm

from ..config_lines import one_line
from ..models.batch_norm import batch_norms
from .findings import WARNING, Finding
from .planned_run import PlannedRun

# Statistics of fewer samples are noise (Wu and He, Group Normalization, 2018).
FEW_SAMPLES = 8


def check_normalization(run: PlannedRun) -> Iterator[Finding]:
    """Batch norm that is trained has enough samples; one that is frozen has something to go by."""
    if run.model is None:
        return
    trained, _ = batch_norms(run.model)
    _, frozen = batch_norms(run.model, getattr(run.model, 'backbone', None))
    synced = all(isinstance(layer, SyncBatchNorm) for layer in (trained or frozen).values())
    processes = run.world_size if synced else 1
    samples = min(run.step_samples) * processes
    fit = run.fitting_batch(count(run.batch_size + 1), math.ceil(FEW_SAMPLES / processes))
    pretrained = has_weights(run.cfg)
    if trained and samples < FEW_SAMPLES and pretrained and not run.has_hook('BatchNormCalibrationHook'):
        yield Finding(
            WARNING,
            'batch norm',
            f'{len(trained)} layers of batch norm take their statistics of {samples} samples',
            f'Of less than about {FEW_SAMPLES} they are noise, and tests, which use averages of them, are worse than '
            'training suggests. Freeze them at those of the pretrained weights:',
            'model = dict(backbone=dict(norm_cfg=dict(requires_grad=False), norm_eval=True))',
        )
    elif trained and samples < FEW_SAMPLES:
        why = 'BatchNormCalibrationHook calibrates them at the end' if pretrained else 'There are no pretrained weights'
        yield Finding(
            WARNING,
            'batch norm',
            f'{len(trained)} layers of batch norm take their statistics of {samples} samples',
            f'Of less than about {FEW_SAMPLES} they are noise. {why}, so they are not to be frozen: '
            'take more samples, or group norm as sniper_faster-rcnn_r50_fpn_gn-scratch_42e_coco.py does:',
            f'train_dataloader = dict(batch_size={fit})',
        )
    if frozen and not pretrained:
        settings = run.cfg.model.get('backbone') or {}
        kind = (settings.get('norm_cfg') or {}).get('type', 'BN')
        changes = dict(norm_cfg=dict(type=kind, requires_grad=True), norm_eval=False)
        if settings.get('frozen_stages', -1) >= 0:  # not every backbone has that
            changes['frozen_stages'] = 0 if settings.type == 'EfficientNet' else -1
        lines = [f'model = {one_line(dict(backbone=changes))}']
        if samples < FEW_SAMPLES:
            lines.append(f'train_dataloader = dict(batch_size={fit})  # it takes its statistics of them')
        yield Finding(
            WARNING,
            'batch norm',
            f"the backbone's batch norm is frozen ({len(frozen)} layers), but its weights are random",
            'Frozen at mean 0 and variance 1 it normalizes nothing, and deep networks do not learn.',
            '\n'.join(lines),
        )


def has_weights(cfg: Config) -> bool:
    """Whether the backbone starts from trained weights: its own, the detector's, or a checkpoint's."""
    backbone = cfg.model.get('backbone') or {}
    settings = [one for part in (backbone, cfg.model) for one in _listed(part.get('init_cfg'))]
    trained = any(isinstance(one, dict) and one.get('type') == 'Pretrained' for one in settings)
    return trained or any([backbone.get('pretrained'), cfg.get('load_from'), cfg.get('resume')])


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [value]
