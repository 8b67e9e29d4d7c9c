"""DataCheckHook: one label is one class in training, validation and test; what was skipped is said."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checks.classes import Names, class_names, compare
from ..checks.images import loader_of
from ..checks.switch import is_off
from ..datasets import chip_sampler
from ..image_files import check_depth, spread
from ..registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Compares the class names of a config's data sets with each other, and with the checkpoint's in a test.

    mmdet compares label numbers alone: with the same names in another order every figure is of another class. Of the
    images of validation and test up to 100 are looked at, and refused if they are of 16 bits, as
    :class:`~mmsniper.datasets.ChipDataset` refuses all of them in training.

    ``mmsniper train --no-check`` turns that off; skipped images are said all the same.

    Raises:
        ValueError: If two have the same classes in another order, or another number of them; other names are warned of.
        DeepImageError: If images are of 16 bits.
    """

    def __init__(self) -> None:
        self.trained: Names | None = None

    def before_train(self, runner: Runner) -> None:
        """Compare training and validation; look at the depth of some images."""
        if is_off() or runner.val_loop is None:
            return
        check_depths(runner.val_dataloader.dataset)
        trained = class_names(getattr(runner.train_dataloader.dataset, 'metainfo', None))
        validated = class_names(getattr(runner.val_dataloader.dataset, 'metainfo', None))
        compare(trained, validated, 'train_dataloader has the classes {}, val_dataloader {}')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the checkpoint was trained on."""
        self.trained = class_names((checkpoint.get('meta') or {}).get('dataset_meta'))

    def before_test(self, runner: Runner) -> None:
        """Compare the checkpoint and the test; look at the depth of some images."""
        if is_off():
            return
        check_depths(runner.test_dataloader.dataset)
        tested = class_names(getattr(runner.test_dataloader.dataset, 'metainfo', None))
        compare(self.trained, tested, 'The checkpoint was trained on the classes {}, test_dataloader has {}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Say which images were skipped, if the data set skips any."""
        sampler = chip_sampler(runner.train_dataloader)
        if sampler is not None:
            sampler.dataset.report_skipped()


def check_depths(dataset: Any) -> None:
    """Refuse images of 16 bits that would be read as 8: up to 100, from the whole of a data set of mmdet.

    Raises:
        DeepImageError: If there is one.
    """
    if not hasattr(dataset, 'get_data_info'):
        return
    for idx in spread(len(dataset), 100).tolist():
        if loader := loader_of(dataset, idx):
            check_depth(loader, dataset.get_data_info(idx).get('img_path', ''))
