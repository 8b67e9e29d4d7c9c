"""Reads from a data set of mmdet's what chips are planned for: boxes, sizes of images, classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Dataset

from ..chips import BoxTable
from .annotations import collector_paused
from .reports import progress


def image_boxes(data_info: dict) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Boxes, ignore flags and size of one image.

    Args:
        data_info: As mmdet's data sets give it: ``instances``, ``width``, ``height``, ``img_path``.

    Returns:
        (M, 4) float64 xyxy boxes, image frame; (M,) bool, True for crowds and other ignored ones; (width, height).

    Raises:
        ValueError: If the size is missing or a box is not finite; names the image.
    """
    name = data_info.get('img_path', 'an image')
    if not data_info.get('width') or not data_info.get('height'):
        raise ValueError(f'{name}: its annotation has no width and height, which planning chips needs')
    instances = data_info.get('instances', [])
    # LoadAnnotations rounds to float32: chips planned from anything else could disagree with labels at a range's end.
    bboxes = np.array([instance['bbox'] for instance in instances], np.float32).astype(np.float64).reshape(-1, 4)
    broken = np.flatnonzero(~np.isfinite(bboxes).all(1))
    if len(broken):
        raise ValueError(f'{name}: instance {broken[0]} has the box {bboxes[broken[0]].tolist()}; correct or remove it')
    ignored = np.array([bool(instance.get('ignore_flag', 0)) for instance in instances], bool)
    return bboxes, ignored, (int(data_info['width']), int(data_info['height']))


def classes_of(dataset: Dataset) -> Sequence[str]:
    """Names of the classes; of joined data sets, which must have the same, the first one's."""
    metainfo = dataset.metainfo
    return (metainfo[0] if isinstance(metainfo, (list, tuple)) else metainfo).get('classes', ())


def read_boxes(dataset: Dataset) -> tuple[BoxTable, int, list[str]]:
    """What chips are planned for: the boxes of a data set, the number of ignored regions, and the images' paths.

    Raises:
        ValueError: If it has no image, or no object; see also :func:`image_boxes`.
    """
    if len(dataset) == 0:
        raise ValueError(f'{type(dataset).__name__} has no image: check ann_file and filter_cfg')
    n_regions = 0
    img_paths = []

    def images() -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        nonlocal n_regions
        for idx in progress(range(len(dataset)), 'Boxes'):
            data_info = dataset.get_data_info(idx)
            bboxes, ignored, size = image_boxes(data_info)
            img_paths.append(data_info.get('img_path', f'image {idx}'))
            n_regions += int(ignored.sum())
            yield bboxes[~ignored], size

    with collector_paused():
        table = BoxTable.build(images())
    if not len(table.bboxes):
        raise ValueError(
            f'none of the {len(table)} images has an object of the classes {classes_of(dataset)}: the annotation file '
            'has no annotations of them, or all were left out (the log says why)'
        )
    return table, n_regions, img_paths
