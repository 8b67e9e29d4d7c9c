"""SourceAnnotations: what COCO files say of images and objects that mmdet's data sets do not pass on."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from logging import WARNING
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..datasets.annotations import coco_datasets
from ..datasets.coco_records import reason_to_drop
from ..datasets.ignored_regions import KEY, ignored_ids


class SourceAnnotations:
    """Names and ids by which the annotation files under a data set know categories, images and objects.

    The files are read once more: mmdet keeps neither.

    Args:
        dataset: A loaded detection data set, which may repeat or join others.

    Attributes:
        categories: COCO's records, one per label, in the order of labels. Their ids are the file's; 1, 2, ... where
            there is no COCO file, or joined ones differ.
        digest: Of all that the files hold.

    Raises:
        ValueError: If joined data sets have different classes.
    """

    def __init__(self, dataset: Dataset) -> None:
        metainfo = dataset.metainfo
        if isinstance(metainfo, (list, tuple)):
            if len({tuple(part['classes']) for part in metainfo}) > 1:
                raise ValueError(
                    'the joined data sets have different classes, so a label has no one name: export them one by one'
                )
            metainfo = metainfo[0]
        classes = metainfo['classes']
        self._images: dict[tuple[str, Any], tuple[str, list]] = {}
        digest = hashlib.sha256()
        found = []
        for leaf in coco_datasets(dataset):
            with get_local_path(leaf.ann_file, backend_args=leaf.backend_args) as path:
                text = Path(path).read_bytes()
            digest.update(text)
            content = json.loads(text)
            found.append(_categories(leaf, classes, content['categories']))
            self._add(leaf, content)
        self.digest = digest.hexdigest()
        numbered = [dict(id=n, name=name) for n, name in enumerate(classes, 1)]
        self.categories: list[dict] = found[0] if found and None not in found else numbered
        if any(records != self.categories for records in found):
            self.categories = numbered
            print_log(
                'The joined annotation files have other ids for the same categories: they are 1, 2, ... in the export',
                'current',
                WARNING,
            )

    def image(self, data_info: dict) -> tuple[str, list]:
        """An image's name in its file, and the ids of its instances, in order; () if they are not known.

        Args:
            data_info: Of the image, as the data set gives it.
        """
        path = data_info.get('img_path', '')
        name, ids = self._images.get((path, data_info.get('img_id')), (Path(path).name, []))
        return name, ids if len(ids) == len(data_info.get('instances', [])) else []

    def _add(self, leaf: CocoDataset, content: dict) -> None:
        images = {image['id']: image for image in content['images']}
        metainfo = leaf.metainfo
        ignored = ignored_ids(metainfo.get(KEY, ()), metainfo['classes'], content['categories'], leaf.ann_file)
        used = {*leaf.cat_ids, *ignored}
        kept = defaultdict(list)
        for annotation in content['annotations']:
            image = images.get(annotation.get('image_id'))
            if image is None or 'bbox' not in annotation:  # panoptic files have none
                continue
            width, height = annotation['bbox'][2:]
            if annotation.get('area') is None:  # what is missing was added when the file was checked
                annotation['area'] = width * height
            if reason_to_drop(annotation, image, used) is None:
                kept[annotation['image_id']].append(annotation['id'])
        for idx in range(len(leaf)):
            info = leaf.get_data_info(idx)
            key = info['img_path'], info['img_id']
            name = images.get(info['img_id'], {}).get('file_name', Path(info['img_path']).name)
            # Two entries that cannot be told apart: whose ids these are is not known.
            self._images[key] = (name, [] if key in self._images else kept[info['img_id']])


def _categories(leaf: CocoDataset, classes: tuple[str, ...], records: list[dict]) -> list[dict] | None:
    """A file's records of the classes, in the order of labels; None if it has not one for each."""
    by_id = {record['id']: record for record in records}
    ids = {label: id for id, label in leaf.cat2label.items()}
    if sorted(ids) != list(range(len(classes))) or any(id not in by_id for id in ids.values()):
        return None
    return [{**by_id[ids[label]], 'name': name} for label, name in enumerate(classes)]
