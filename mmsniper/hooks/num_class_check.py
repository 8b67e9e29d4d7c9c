"""NumClassCheckHook: mmdet's, where it can be asked."""

from __future__ import annotations

from mmdet.engine.hooks import NumClassCheckHook as MMDetNumClassCheckHook
from mmdet.models.detectors import RPN
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..checks.switch import is_off
from ..registry import HOOKS


@HOOKS.register_module()
class NumClassCheckHook(MMDetNumClassCheckHook):
    """Heads have as many classes as the data set, before each epoch of training and validation.

    mmdet's hook takes an RPN alone for a head of one class, and fails on joined data sets whose meta information
    differs; both are passed over here. :class:`ConfigCheckHook` looks at the same earlier, and says the line to write.

    ``mmsniper train --no-check`` turns it off.
    """

    def _check_head(self, runner: Runner, mode: str) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loader = runner.train_dataloader if mode == 'train' else runner.val_dataloader
        if not is_off() and not isinstance(model, RPN) and isinstance(loader.dataset.metainfo, dict):
            super()._check_head(runner, mode)
