"""Reads boxes for planning, and says what mmdet's loaders leave out without a word."""

from __future__ import annotations

from collections.abc import Iterator
from logging import WARNING
from math import isfinite

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.dist import master_only
from mmengine.fileio import load
from mmengine.logging import print_log
from torch.utils.data import Dataset


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


@master_only
def report_annotation_file(dataset: Dataset) -> None:
    """Report once, per COCO file under a data set, the annotations that mmdet's CocoDataset drops silently.

    Raises:
        ValueError: If a box is not finite (mmdet would drop some of these silently); names file, annotation and image.
    """
    for leaf in _coco_datasets(dataset):
        content = load(leaf.ann_file, backend_args=leaf.backend_args)
        images = {image['id']: image for image in content['images']}
        used = {category['id'] for category in content['categories'] if category['name'] in leaf.metainfo['classes']}
        gone = len(content['images']) - len(leaf)
        if gone > 0:
            print_log(f'{leaf.ann_file}: {gone} images left out by filter_cfg or indices', 'current', WARNING)
        dropped: dict[str, list[int]] = {}
        for annotation in content['annotations']:
            if 'bbox' not in annotation:  # panoptic files keep them elsewhere
                break
            reason = _drop_reason(annotation, images, used, leaf.ann_file)
            if reason:
                dropped.setdefault(reason, []).append(annotation['id'])
        for reason, ids in dropped.items():
            some = ', '.join(map(str, ids[:5])) + (', ...' if len(ids) > 5 else '')
            print_log(f'{leaf.ann_file}: {len(ids)} annotations left out, {reason} (ids {some})', 'current', WARNING)


def _coco_datasets(dataset: Dataset) -> Iterator[CocoDataset]:
    if isinstance(dataset, CocoDataset):
        yield dataset
    for inner in [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or [])]:
        if inner is not None:
            yield from _coco_datasets(inner)


def _drop_reason(annotation: dict, images: dict, used: set, ann_file: str) -> str | None:
    """Why CocoDataset leaves an annotation out, or None."""
    image = images.get(annotation['image_id'])
    if image is None:
        return 'their image is not in the file'
    x, y, width, height = annotation['bbox']
    if not isfinite(x + y + width + height):
        raise ValueError(
            f'{ann_file}: annotation {annotation["id"]} of image {image.get("file_name", image["id"])} has the box '
            f'{annotation["bbox"]}; correct or remove it'
        )
    if annotation.get('ignore'):
        return 'marked "ignore"'
    if annotation['category_id'] not in used:
        return "their category is not in the data set's classes"
    if width < 1 or height < 1 or annotation.get('area', 1) <= 0:
        return 'a side under 1 px or no area'
    if min(x + width, image['width']) <= max(x, 0) or min(y + height, image['height']) <= max(y, 0):
        return 'the box lies outside its image'
    return None
