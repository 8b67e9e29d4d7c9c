"""DataCheckHook: one label is one class in training, validation and test; what was skipped is said."""

from __future__ import annotations

from collections.abc import Sequence
from logging import WARNING
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..datasets import ChipPlanSampler
from ..image_files import check_depth
from ..registry import HOOKS

Names = tuple[str, ...]


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Compares the class names of a config's data sets with each other, and with the checkpoint's in a test.

    mmdet compares label numbers alone: with the same names in another order every figure is of another class. Images of
    16 bits are refused in validation and test, as :class:`~mmsniper.datasets.ChipDataset` refuses them in training.

    Raises:
        ValueError: If training and validation have other classes, a test has the checkpoint's in another order, or
            images are of 16 bits.
    """

    def __init__(self) -> None:
        self.trained: Names | None = None

    def before_train(self, runner: Runner) -> None:
        """Compare training and validation; look at the depth of some images."""
        if runner.val_loop is not None:
            check_depths(runner.val_dataloader.dataset)
        trained = _classes(runner.train_dataloader.dataset)
        validated = _classes(runner.val_dataloader.dataset) if runner.val_loop is not None else None
        if trained and validated and trained != validated:
            raise ValueError(
                f'train_dataloader has the classes {trained}, val_dataloader {validated}: labels are compared by '
                'number, so write the same metainfo=dict(classes=...) in both data sets'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the checkpoint was trained on."""
        meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        self.trained = _names(meta.get('classes', meta.get('CLASSES')))

    def before_test(self, runner: Runner) -> None:
        """Compare the checkpoint and the test; look at the depth of some images."""
        check_depths(runner.test_dataloader.dataset)
        tested = _classes(runner.test_dataloader.dataset)
        if not self.trained or not tested or self.trained == tested:
            return
        text = f'The checkpoint was trained on the classes {self.trained}, test_dataloader has {tested}'
        if sorted(self.trained) == sorted(tested):
            raise ValueError(f'{text}: labels are compared by number, so write metainfo=dict(classes={self.trained})')
        print_log(f'{text}: labels are compared by number; see that each stands for the same', 'current', WARNING)

    def after_train_epoch(self, runner: Runner) -> None:
        """Say which images were skipped, if the data set skips any."""
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, ChipPlanSampler):
            sampler.dataset.report_skipped()


def check_depths(dataset: Any) -> None:
    """Refuse images of 16 bits that would be read as 8: up to 100, from the whole of a data set of mmdet.

    Raises:
        UnreadableImageError: If there is one.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    loaders = [step for step in steps if isinstance(step, LoadImageFromFile)]
    if not loaders or loaders[0].color_type == 'unchanged' or not hasattr(dataset, 'get_data_info'):
        return
    for idx in np.unique(np.linspace(0, len(dataset) - 1, 100).astype(int)) if len(dataset) else ():
        check_depth(dataset.get_data_info(int(idx)).get('img_path', ''))


def _classes(dataset: Any) -> Names | None:
    return _names((getattr(dataset, 'metainfo', None) or {}).get('classes'))


def _names(classes: Sequence[str] | str | None) -> Names | None:
    return tuple(classes) if classes and not isinstance(classes, str) else None
