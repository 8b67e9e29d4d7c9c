"""Builds data sets whose COCO files are checked before mmdet parses them."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import WARNING
from typing import Any

from mmdet.datasets import CocoDataset, ConcatDataset, XMLDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS as MMDET_DATASETS
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..registry import DATASETS
from .coco_file import CocoFile
from .ignored_regions import KEY
from .xml_names import check_names, count_on_load

LAZY = CocoDataset, XMLDataset, ConcatDataset, RepeatDataset, ClassBalancedDataset


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset``, which refuses a file that would train, or be evaluated, wrong.

    For validation and test; :class:`~mmsniper.datasets.ChipDataset` checks whatever it wraps. The file is read once.

    Args:
        *args: As for ``CocoDataset``.
        evaluated: COCO's evaluation reads the file, too, so ``area`` and ``iscrowd`` must be there; else they are added
            where they are missing. Default: if ``test_mode``.
        **kwargs: As for ``CocoDataset``.

    Raises:
        ValueError: If ``metainfo``'s classes are not those of the file, in its order, or a record is malformed; names
            the file, every such record, and what to do.
    """

    def __init__(self, *args: Any, evaluated: bool | None = None, **kwargs: Any) -> None:
        self.evaluated = evaluated
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Check the file, then load it as mmdet does."""
        check_on_load(self, loads_masks(self.pipeline.transforms))
        with collector_paused():
            return super().load_data_list()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without the cyclic garbage collector, which would search millions of new records again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class CheckedApi:
    """Stands in for the class by which a ``CocoDataset`` reads its file: checks what it reads, on its way.

    Args:
        dataset: The data set.
        with_masks: Its objects need masks.

    Attributes:
        file: The file; None before it is read.
    """

    def __init__(self, dataset: CocoDataset, with_masks: bool | str) -> None:
        self.dataset = dataset
        self.with_masks = with_masks
        self.api = dataset.COCOAPI
        self.file: CocoFile | None = None

    def __call__(self, path: str) -> COCO:
        """Read and check a file; mmdet's index of it."""
        content = self.check(path)
        coco = self.api()
        coco.dataset = content
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def check(self, path: str, completed: bool = True) -> dict:
        """Read and check a file, and let go of its content.

        Args:
            path: Where it can be read.
            completed: What is missing is added, and said; or someone else reads the file as it is.

        Raises:
            ValueError: See :class:`CheckedCocoDataset`.
        """
        name = self.dataset.ann_file
        if 'img' not in self.dataset.data_prefix:
            raise ValueError(
                f'{name}: data_prefix={self.dataset.data_prefix} does not say where the images are; write '
                "data_prefix=dict(img='images/'), relative to data_root"
            )
        evaluated = getattr(self.dataset, 'evaluated', None)
        evaluated = self.dataset.test_mode if evaluated is None else evaluated
        self.file = CocoFile(path, name, self.with_masks, evaluated, completed)
        # Others may number labels in another way: see report_left_out.
        by_order = _labels_by_order(self.dataset)
        metainfo = self.dataset.metainfo
        self.file.check(metainfo['classes'] if by_order else None, metainfo.get(KEY, ()) if by_order else ())
        content, self.file.content, self.file.images = self.file.content, {}, {}
        return content


def build_checked(cfg: dict, with_masks: bool | str) -> Dataset:
    """Build a data set of any kind; the COCO and VOC files below it are checked as they are read.

    Args:
        cfg: Config of the data set, which may wrap or join others.
        with_masks: Its objects need masks.

    Raises:
        ValueError: See :class:`CheckedCocoDataset`.
    """
    dataset = MMDET_DATASETS.build(_lazy(cfg))
    for leaf in _leaves(dataset):
        if isinstance(leaf, CocoDataset):
            check_on_load(leaf, with_masks)
        elif isinstance(leaf, XMLDataset):
            count_on_load(leaf)
    return dataset


def _lazy(cfg: dict) -> dict:
    """A config by which COCO and VOC data sets, and what mmdet has around them, are built but do not read yet."""
    cfg = dict(cfg)
    if 'datasets' in cfg:
        cfg['datasets'] = [_lazy(inner) if isinstance(inner, dict) else inner for inner in cfg['datasets']]
    if isinstance(cfg.get('dataset'), dict):
        cfg['dataset'] = _lazy(cfg['dataset'])
    kind = MMDET_DATASETS.get(cfg['type']) if isinstance(cfg.get('type'), str) else cfg.get('type')
    if isinstance(kind, type) and issubclass(kind, LAZY):
        cfg['lazy_init'] = True
    return cfg


def loads_masks(pipeline: Iterable[Any]) -> bool | str:
    """Whether one of a pipeline's transforms wants masks from the annotations; 'polygons', if it loses others."""
    steps = [step for step in pipeline if getattr(step, 'with_mask', False)]
    return bool(steps) and (all(getattr(step, 'poly2mask', True) for step in steps) or 'polygons')


def check_on_load(dataset: CocoDataset, with_masks: bool | str) -> CheckedApi:
    """Let a data set that has not read its file yet check it then."""
    if not isinstance(dataset.COCOAPI, CheckedApi):
        dataset.COCOAPI = CheckedApi(dataset, with_masks)
    return dataset.COCOAPI


def report_left_out(dataset: Dataset, with_masks: bool | str) -> None:
    """Say once, per file under a loaded data set, what is left out; check files that were not, yet.

    Args:
        dataset: Built by :func:`build_checked`, or by mmdet.
        with_masks: Its objects need masks.

    Raises:
        ValueError: See :class:`CheckedCocoDataset` and :func:`~mmsniper.datasets.xml_names.check_names`.
    """
    for leaf in _leaves(dataset):
        known = _labels_by_order(leaf) and isinstance(leaf.COCOAPI, CheckedApi)
        if (getattr(leaf, 'metainfo', None) or {}).get(KEY) and not known:
            raise ValueError(
                f'{type(leaf).__name__} has read its annotations without the {KEY} of its metainfo: give ChipDataset '
                'the config of a CocoDataset, or take them out'
            )
    check_loaded(dataset, with_masks)
    for leaf in coco_datasets(dataset):
        api = check_on_load(leaf, with_masks)
        classes, names = leaf.metainfo['classes'], api.file.category_names
        shifted = [
            f'{names[id]!r} as {classes[label]!r}'
            for id, label in getattr(leaf, 'cat2label', {}).items()
            if id in names and label < len(classes) and names[id] != classes[label]
        ]
        if shifted:
            text = f'{leaf.ann_file}: {type(leaf).__name__} teaches {", ".join(shifted[:5])}'
            print_log(text + (', ...' if len(shifted) > 5 else ''), 'current', WARNING)
        if api.file.n_images > len(leaf):
            text = f'{leaf.ann_file}: {api.file.n_images - len(leaf)} images left out by filter_cfg or indices'
            print_log(text, 'current', WARNING)


def check_loaded(dataset: Dataset, with_masks: bool | str | None = None) -> None:
    """Check the COCO and VOC files under a loaded data set that were not checked as they were read.

    Args:
        dataset: Built by anyone.
        with_masks: Its objects need masks; None = if its own pipelines load them.

    Raises:
        ValueError: See :func:`report_left_out`.
    """
    for leaf in _leaves(dataset):
        if isinstance(leaf, XMLDataset):
            check_names(leaf)
        elif isinstance(leaf, CocoDataset):
            masks = loads_masks(leaf.pipeline.transforms) if with_masks is None else with_masks
            api = check_on_load(leaf, masks)
            if api.file is None:  # built by someone else, or one that reads its file by other means, as LVIS's does
                with get_local_path(leaf.ann_file, backend_args=leaf.backend_args) as path:
                    api.check(path, completed=False)


def _leaves(dataset: Any) -> Iterator[Any]:
    """The data sets that a data set wraps or joins, or itself."""
    wrapped = getattr(dataset, 'dataset', None)
    inner = [*([] if wrapped is None else [wrapped]), *(getattr(dataset, 'datasets', None) or [])]
    if not inner:
        yield dataset
    for one in inner:
        yield from _leaves(one)


def _labels_by_order(dataset: Any) -> bool:
    """Whether a data set reads its file, and numbers labels, as mmdet's CocoDataset."""
    load = getattr(type(dataset), 'load_data_list', None)
    return load in (CocoDataset.load_data_list, CheckedCocoDataset.load_data_list)


def coco_datasets(dataset: Any) -> list[CocoDataset]:
    """The COCO data sets under whatever repeats or joins them."""
    return [leaf for leaf in _leaves(dataset) if isinstance(leaf, CocoDataset)]
