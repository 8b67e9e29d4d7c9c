"""EvaluationHook: a test at several scales is one at those of training; ignored regions are ignored."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..datasets.ignored_regions import KEY
from ..evaluation import CocoMetric
from ..models.pyramid import follow_config
from ..registry import HOOKS


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Lets ``MultiScaleChipTTA`` take its scales and ranges from the config's planner, where ``tta_cfg`` has none.

    Raises:
        ValueError: If a data set has ``ignored_categories``, but its evaluator would count what is detected there.
    """

    def before_train(self, runner: Runner) -> None:
        """Look at the evaluator before hours of training."""
        if runner.val_loop is not None:
            check_evaluator(runner.val_dataloader.dataset, runner.val_evaluator, 'val_evaluator')

    def before_test(self, runner: Runner) -> None:
        """Give the planner to the model, and look at the evaluator."""
        follow_config(runner.model.module if is_model_wrapper(runner.model) else runner.model, runner.cfg)
        check_evaluator(runner.test_dataloader.dataset, runner.test_evaluator, 'test_evaluator')


def check_evaluator(dataset: Any, evaluator: Any, name: str) -> None:
    """Refuse mmdet's CocoMetric for a data set with regions that it does not know.

    Raises:
        ValueError: If it is.
    """
    metainfo = getattr(dataset, 'metainfo', None)
    ignored = metainfo.get(KEY) if isinstance(metainfo, dict) else None
    plain = [
        one
        for one in getattr(evaluator, 'metrics', ())
        if isinstance(one, MMDetCocoMetric) and not isinstance(one, CocoMetric)
    ]
    if ignored and plain:
        raise ValueError(
            f"{name}: mmdet's CocoMetric counts what is detected in {', '.join(ignored)} as wrong: write "
            f"{name}=dict(type='mmsniper.CocoMetric')"
        )
