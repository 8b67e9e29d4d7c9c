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
from torch.utils.data import DataLoader

from ..datasets import ChipBatchSampler, chip_sampler
from ..image_files import check_depth
from ..registry import HOOKS

Names = tuple[str, ...]


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Compares the class names of a config's data sets with each other, and with the checkpoint's in a test.

    mmdet compares label numbers alone: with the same names in another order every figure is of another class. Of the
    images of validation and test up to 100 are looked at, and refused if they are of 16 bits, as
    :class:`~mmsniper.datasets.ChipDataset` refuses all of them in training.

    Raises:
        ValueError: If two have the same classes in another order, or another number of them; other names are warned of.
        DeepImageError: If images are of 16 bits.
    """

    def __init__(self) -> None:
        self.trained: Names | None = None

    def before_train(self, runner: Runner) -> None:
        """Compare training and validation, lanes and workers; look at the depth of some images."""
        check_lanes(runner.train_dataloader)
        if runner.val_loop is None:
            return
        check_depths(runner.val_dataloader.dataset)
        trained = _classes(getattr(runner.train_dataloader.dataset, 'metainfo', None))
        validated = _classes(getattr(runner.val_dataloader.dataset, 'metainfo', None))
        compare(trained, validated, 'train_dataloader has the classes {}, val_dataloader {}')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the checkpoint was trained on."""
        self.trained = _classes((checkpoint.get('meta') or {}).get('dataset_meta'))

    def before_test(self, runner: Runner) -> None:
        """Compare the checkpoint and the test; look at the depth of some images."""
        check_depths(runner.test_dataloader.dataset)
        tested = _classes(getattr(runner.test_dataloader.dataset, 'metainfo', None))
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
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    loaders = [step for step in steps if isinstance(step, LoadImageFromFile)]
    if not loaders or not hasattr(dataset, 'get_data_info'):
        return
    for idx in np.unique(np.linspace(0, len(dataset) - 1, 100).astype(int)) if len(dataset) else ():
        check_depth(loaders[0], dataset.get_data_info(int(idx)).get('img_path', ''))


def check_lanes(loader: DataLoader) -> None:
    """Warn if several workers of a training loader will load the same images."""
    batches, workers = loader.batch_sampler, loader.num_workers
    if isinstance(batches, ChipBatchSampler) and workers and batches.lanes % workers:
        lanes = workers * max(1, round(batches.lanes / workers))
        print_log(
            f'{workers} workers share {batches.lanes} lanes, so several of them load the same image: write '
            f'train_dataloader.batch_sampler=dict(lanes={lanes})',
            'current',
            WARNING,
        )


def compare(one: Names | None, other: Names | None, text: str) -> None:
    """Refuse, or warn of, class names that differ; None is not known.

    Raises:
        ValueError: If they are the same in another order, or another number.
    """
    if not one or not other or one == other:
        return
    text = text.format(one, other)
    if len(one) != len(other) or sorted(one) == sorted(other):
        raise ValueError(f'{text}: labels are compared by number, so write metainfo=dict(classes={one}) in both')
    print_log(f'{text}: labels are compared by number; see that each stands for the same', 'current', WARNING)


def _classes(metainfo: Any) -> Names | None:
    """The class names of meta information; of joined data sets' only if they agree."""
    parts = metainfo if isinstance(metainfo, (list, tuple)) else [metainfo or {}]
    found = {_names(part.get('classes', part.get('CLASSES'))) for part in parts}
    return found.pop() if len(found) == 1 else None


def _names(classes: Sequence[str] | str | None) -> Names | None:
    return tuple(classes) if classes and not isinstance(classes, str) else None
