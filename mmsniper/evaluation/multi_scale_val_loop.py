"""MultiScaleValLoop: validation during training as `tools/test.py --tta` tests."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.model import is_model_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner, ValLoop, autocast
from torch.utils.data import DataLoader

from ..models.pyramid import follow_config
from ..registry import LOOPS


@LOOPS.register_module()
class MultiScaleValLoop(ValLoop):
    """Validates with the config's ``tta_model`` and ``tta_pipeline``: its figures are those of ``tools/test.py --tta``.

    One line, ``val_cfg = dict(type='mmsniper.MultiScaleValLoop')``. The model in training stays what it is: the
    ``tta_model`` is put around it for validation only, so averaged weights are those that are validated, and
    checkpoints are the same.

    Args:
        runner: The runner; its config has ``tta_model`` and ``tta_pipeline``.
        dataloader: Config of the loader, whose pipeline is replaced.
        evaluator: As for mmengine's ``ValLoop``.
        **options: As for ``ValLoop``.

    Raises:
        ValueError: If the config lacks one of the two.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, evaluator: Any, **options: Any) -> None:
        if lacks := [key for key in ('tta_model', 'tta_pipeline') if not runner.cfg.get(key)]:
            raise ValueError(
                f'val_cfg: MultiScaleValLoop validates with {" and ".join(lacks)}, which the config lacks: take '
                "configs/_base_/tta/sniper_tta.py into its _base_, or write val_cfg=dict(type='ValLoop')"
            )
        if isinstance(dataloader, dict):
            dataloader = copy.deepcopy(dataloader)
            set_pipeline(dataloader['dataset'], runner.cfg['tta_pipeline'])
        super().__init__(runner, dataloader, evaluator, **options)
        module = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.model = MODELS.build({**copy.deepcopy(runner.cfg['tta_model']), 'module': module})
        follow_config(self.model, runner.cfg)

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Detect in one batch, as ``tta_pipeline`` packs it, at all scales."""
        if idx == 0:  # and averaged weights are in place
            # Each rank has batch norm's statistics of its own chips; a checkpoint, and so a test, has the first one's.
            for buffer in self.model.buffers():
                broadcast(buffer, src=0)
        self.runner.call_hook('before_val_iter', batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            outputs = self.model.test_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook('after_val_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)


def set_pipeline(dataset: dict, pipeline: Sequence[dict]) -> None:
    """Replace the pipeline of a data set's config, or of those that it wraps or joins."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    for one in inner:
        set_pipeline(one, pipeline)
    if not inner:
        dataset['pipeline'] = copy.deepcopy(pipeline)
