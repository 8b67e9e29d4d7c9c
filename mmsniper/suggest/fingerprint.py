"""What a data set looks like to a detector: the numbers that decide about scales.

Shapes: I images, T objects, C classes. Image pixels.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..chips import BoxTable, box_sizes
from ..chips.compiled import compiled
from ..datasets.coco_file import CocoFile
from ..datasets.coco_records import reason_to_drop

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
# By these names people mark regions that are neither object nor background.
REGION_NAMES = ('dontcare', 'ignore', 'ignored', 'ignoredregion', 'ignoredregions', 'ignoreregion', 'ignoreregions')
CROWDED_IOU = 0.3


@dataclass(frozen=True)
class Fingerprint:
    """A data set's images and objects.

    Attributes:
        path: Of the annotation file.
        content: The file, checked; ``area`` and ``iscrowd`` are there.
        file_names: (I,) of the images.
        table: Boxes of all objects and sizes of all images.
        labels: (T,) int64, the class of each object.
        classes: (C,) names in the file's order, without ``region_classes``.
        region_classes: Names of categories that mark ignored regions.
        n_regions: Crowds and boxes of ``region_classes``.
        left_out: Why annotations are not used, and how many.
    """

    path: str
    content: dict = field(repr=False)
    file_names: list[str]
    table: BoxTable
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    region_classes: tuple[str, ...]
    n_regions: int
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.table)

    def weights(self) -> NDArray[np.float64]:
        """What each object counts for, (T,) in sum 1: AP is a mean over classes, so rare ones weigh more, by a root."""
        counts = np.maximum(np.bincount(self.labels, minlength=len(self.classes)), 1)
        weights = 1 / np.sqrt(counts[self.labels])
        return weights / weights.sum()


def read_fingerprint(path: str, with_masks: bool = False) -> Fingerprint:
    """Read and check a COCO file.

    Args:
        path: The file.
        with_masks: Its objects need masks.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is malformed (see :class:`~mmsniper.datasets.coco_file.CocoFile`) or has no object.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} is no file; name the annotations of the images you train on, in COCO format')
    file = CocoFile(path, path, with_masks)
    file.check(None)
    names = [category['name'] for category in file.content['categories']]
    regions = tuple(name for name in names if is_region(name))
    classes = tuple(name for name in names if name not in regions)
    labels_by_id = {id: classes.index(name) for id, name in file.category_names.items() if name in classes}
    boxes: dict = {id: [] for id in file.images}
    labels: dict = {id: [] for id in file.images}
    left_out: Counter[str] = Counter()
    n_regions = 0
    for annotation in file.content['annotations']:
        image = file.images.get(annotation['image_id'])
        reason = 'their image is not in the file' if image is None else None
        reason = reason or reason_to_drop(annotation, image, set(file.category_names))
        if reason:
            left_out[reason] += 1
        elif annotation['iscrowd'] or annotation['category_id'] not in labels_by_id:
            n_regions += 1
        else:
            x, y, w, h = annotation['bbox']
            boxes[image['id']].append((x, y, x + w, y + h))
            labels[image['id']].append(labels_by_id[annotation['category_id']])
    images = file.content['images']
    table = BoxTable.build((boxes[image['id']], (int(image['width']), int(image['height']))) for image in images)
    if not len(table.bboxes):
        raise ValueError(
            f'{path} has no objects to choose scales for ({len(images)} images, {n_regions} ignored regions, '
            f'{sum(left_out.values())} annotations that cannot be used); annotate some, or name another file'
        )
    return Fingerprint(
        path,
        file.content,
        [image.get('file_name', image.get('coco_url')) for image in images],
        table,
        np.array([label for image in images for label in labels[image['id']]], np.int64),
        classes,
        regions,
        n_regions,
        dict(left_out),
    )


def is_region(name: str) -> bool:
    """Whether a category marks regions that are neither object nor background, by its name."""
    return ''.join(letter for letter in name.lower() if letter.isalpha()) in REGION_NAMES


def summary(data: Fingerprint, chip_size: int) -> dict:
    """The fingerprint's numbers, in types that JSON knows.

    Args:
        data: The data set.
        chip_size: Network pixels; objects that are longer are counted.
    """
    table = data.table
    boxes, sizes = table.bboxes, object_sizes(table)
    per_image = np.diff(table.start)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
    aspect = np.maximum(sides[:, 0] / sides[:, 1], sides[:, 1] / sides[:, 0])
    of_image = np.repeat(table.sizes, per_image, axis=0)
    megapixels = table.sizes.prod(1) / 1e6
    shapes = Counter(map(tuple, table.sizes.tolist())).most_common()
    return dict(
        images=len(table),
        images_without_objects=int((per_image == 0).sum()),
        image_sizes=[[*size, count] for size, count in shapes[:5]],
        n_image_sizes=len(shapes),
        image_side=quantiles(np.sqrt(table.sizes.prod(1))),
        objects=len(boxes),
        object_size=quantiles(sizes),
        object_share_of_image=quantiles(sizes / np.sqrt(of_image.prod(1))),
        aspect=quantiles(aspect),
        per_image=dict(mean=float(per_image.mean()), **quantiles(per_image)),
        per_megapixel=float(len(boxes) / megapixels.sum()),
        crowded=float(crowded(boxes, table.start).mean()),
        longer_than_chip=float((sides.max(1) > chip_size).mean()),
        too_thin=int((sides.min(1) < 2).sum()),
        regions=data.n_regions,
        region_classes=list(data.region_classes),
        left_out=data.left_out,
        classes=dict(zip(data.classes, np.bincount(data.labels, minlength=len(data.classes)).tolist(), strict=True)),
    )


def quantiles(values: NDArray) -> dict[str, float]:
    """Quantiles of numbers, by name: min, q01, ..., median, ..., max."""
    names = [{0: 'min', 0.5: 'median', 1: 'max'}.get(q, f'q{round(100 * q):02d}') for q in QUANTILES]
    return {name: round(float(v), 4) for name, v in zip(names, np.quantile(values, QUANTILES), strict=True)}


def object_sizes(table: BoxTable) -> NDArray[np.float64]:
    """sqrt(area) of each object inside its image, (T,)."""
    return np.asarray(box_sizes(table.inside()), np.float64)


@compiled
def crowded(bboxes: NDArray, start: NDArray) -> NDArray:
    """Which objects overlap another one of their image by ``CROWDED_IOU`` or more: (T, 4), (I + 1,) -> (T,) bool."""
    found = np.zeros(len(bboxes), np.bool_)
    for i in range(len(start) - 1):
        for a in range(start[i], start[i + 1]):
            for b in range(a + 1, start[i + 1]):
                w = min(bboxes[a, 2], bboxes[b, 2]) - max(bboxes[a, 0], bboxes[b, 0])
                h = min(bboxes[a, 3], bboxes[b, 3]) - max(bboxes[a, 1], bboxes[b, 1])
                if w <= 0 or h <= 0:
                    continue
                both = (bboxes[a, 2] - bboxes[a, 0]) * (bboxes[a, 3] - bboxes[a, 1])
                both += (bboxes[b, 2] - bboxes[b, 0]) * (bboxes[b, 3] - bboxes[b, 1])
                if w * h >= CROWDED_IOU * (both - w * h):
                    found[a] = found[b] = True
    return found
