"""The same three images as a data set in each format that the configs name."""

import json
from pathlib import Path

import cv2
import numpy as np
from mmdet.registry import DATASETS

SIZE = (320, 240)
# Per image (x, y, width, height) of its objects: small ones, a large one, one at the border.
OBJECTS = [
    [(20, 30, 16, 14), (60, 40, 24, 30), (110, 60, 150, 160), (300, 10, 20, 40)],
    [(5, 5, 30, 40), (200, 150, 60, 50)],
    [],
]
CROWD = (250, 180, 60, 50)


def write(kind: str, classes: tuple[str, ...], root: Path) -> dict:
    """Write the images and annotations of mmdet's data set `kind`; the settings that find them."""
    (root / 'images').mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for n, objects in enumerate(OBJECTS):
        image = rng.integers(40, 80, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        for x, y, w, h in objects:
            image[y : y + h, x : x + w] = rng.integers(120, 255, 3)
        cv2.imwrite(str(root / f'images/{n}.jpg'), image)
    return WRITERS.get(kind, coco)(classes, root)


def coco(classes: tuple[str, ...], root: Path, **more: object) -> dict:
    """COCO's JSON, with polygons and a crowd as RLE; LVIS has some keys more."""
    images = [
        dict(id=n, file_name=f'images/{n}.jpg', width=SIZE[0], height=SIZE[1], **more) for n in range(len(OBJECTS))
    ]
    annotations = []
    for n, objects in enumerate(OBJECTS):
        for x, y, w, h in objects:
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            category = 1 + len(annotations) % min(len(classes), 5)
            annotations.append(dict(image_id=n, bbox=[x, y, w, h], segmentation=[outline], category_id=category))
    if not more:
        x, y, w, h = CROWD
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[y : y + h, x : x + w] = 1
        runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0)), prepend=0).tolist()
        rle = dict(counts=[*runs, mask.size - sum(runs)], size=list(mask.shape))
        annotations.append(dict(image_id=0, bbox=list(CROWD), segmentation=rle, category_id=1, iscrowd=1))
    for n, one in enumerate(annotations):
        one.update(id=n + 1, area=one['bbox'][2] * one['bbox'][3], iscrowd=one.get('iscrowd', 0))
    categories = [dict(id=1 + n, name=name, frequency='f') for n, name in enumerate(classes)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'annotations.json').write_text(json.dumps(content))
    return dict(data_root=f'{root}/', ann_file='annotations.json', data_prefix=dict(img=''))


def lvis(classes: tuple[str, ...], root: Path) -> dict:
    """LVIS's JSON: it finds images by their URL, and says which classes an image was searched for."""
    settings = coco(classes, root, neg_category_ids=[], not_exhaustive_category_ids=[])
    content = json.loads((root / 'annotations.json').read_text())
    for image in content['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{image["file_name"]}'
    (root / 'annotations.json').write_text(json.dumps(content))
    return settings


def voc(classes: tuple[str, ...], root: Path) -> dict:
    """PASCAL VOC's folders: a list of names, an XML file each."""
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for n, objects in enumerate(OBJECTS):
        (root / f'images/{n}.jpg').replace(root / f'JPEGImages/{n}.jpg')
        boxes = ''.join(
            f'<object><name>{classes[k % 3]}</name><difficult>{k % 2}</difficult><bndbox><xmin>{x + 1}</xmin>'
            f'<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>'
            for k, (x, y, w, h) in enumerate(objects)
        )
        size = f'<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>'
        (root / f'Annotations/{n}.xml').write_text(f'<annotation>{size}{boxes}</annotation>')
    (root / 'ImageSets/Main/all.txt').write_text('\n'.join(map(str, range(len(OBJECTS)))))
    return dict(data_root=f'{root}/', ann_file='ImageSets/Main/all.txt', data_prefix=dict(sub_data_root=''))


def crowdhuman(classes: tuple[str, ...], root: Path) -> dict:
    """CrowdHuman's lines of JSON, one box per image to be ignored."""
    lines = []
    for n, objects in enumerate(OBJECTS):
        boxes = [
            dict(tag='person' if k else 'mask', fbox=box, hbox=box, vbox=box, extra=dict(ignore=int(not k)))
            for k, box in enumerate([CROWD, *objects])
        ]
        lines.append(json.dumps(dict(ID=str(n), gtboxes=boxes)))
    (root / 'annotation_val.odgt').write_text('\n'.join(lines))
    return dict(data_root=f'{root}/', ann_file='annotation_val.odgt', data_prefix=dict(img='images/'))


WRITERS = dict(VOCDataset=voc, LVISV1Dataset=lvis, CrowdHumanDataset=crowdhuman)


def classes_of(dataset: dict) -> tuple[str, ...]:
    """Names of categories of a data set's config: its own, ignored ones too, or its type's."""
    metainfo = dataset.get('metainfo') or {}
    given = (*metainfo.get('classes', ()), *metainfo.get('ignored_categories', ()))
    return tuple(given or DATASETS.get(dataset['type']).METAINFO['classes'])
