"""Makes COCO files with something wrong in them, and finds out whether a data set then teaches what the file says.

    python tests/datasets/fuzz_coco.py [--files 5000] [--first 0]

Every file is refused by an error that names it, the record and the remedy; or loaded, every object of it with its box
and its own category, or counted as left out. Anything else is printed and fails.
"""

import argparse
import contextlib
import copy
import io
import json
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmsniper.datasets import ChipDataset
from mmsniper.datasets.annotations import CheckedCocoDataset

CLASSES = ('cat', 'eel', 'dog')
SIZES = [(160, 120), (90, 140), (128, 128)]
PLANNER = dict(scales=[1.0, (128, 128)], valid_ranges=[(None, 60), (40, None)], chip_size=128, stride=32)
HOSTILE = [
    *(None, '', '7', 'cat', -1, 0, 1, 2, 0.5, True, False, [], {}, [[]], [1], {'a': 1}, 10**30, 10**400, 1e308, -1e9),
    *(float('nan'), float('inf'), -float('inf'), [1, 2, 3, 4], [[1, 2, 3, 4]], [[5, 5, 30, 5, 30, float('nan')]]),
    *({'size': [9, 9], 'counts': [81]}, {'size': [120, 160], 'counts': '04'}, {'size': [120, 160], 'counts': 'zz~'}),
]
REMEDY = re.compile(r'\b(write|add|correct|remove|give|join|number|encode|name|cut|use|put|restore|rotate|check)\b')


def clean(rng: random.Random) -> dict:
    """A file that is as it should be: three images, objects with polygons and RLE, crowds."""
    images, annotations = [], []
    for n, (width, height) in enumerate(SIZES):
        images.append(dict(id=10 + n, file_name=f'{n}.png', width=width, height=height))
        for _ in range(rng.randint(0, 4)):
            w, h = rng.randint(8, 80), rng.randint(8, 80)
            x, y = rng.randint(0, width - w), rng.randint(0, height - h)
            crowd = rng.random() < 0.2
            polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            pixels = np.zeros((height, width), np.uint8)
            pixels[y : y + h, x : x + w] = 1
            rle = coco_mask.encode(np.asfortranarray(pixels))
            rle = dict(size=rle['size'], counts=rle['counts'].decode())
            annotations.append(
                dict(
                    id=100 + len(annotations),
                    image_id=10 + n,
                    category_id=rng.choice([2, 3, 7]),
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=int(crowd),
                    segmentation=rle if crowd or rng.random() < 0.3 else polygon,
                )
            )
    categories = [dict(id=id, name=name) for id, name in zip((2, 3, 7), CLASSES, strict=True)]
    return dict(images=images, annotations=annotations, categories=categories)


def spoil(content: dict, classes: tuple, rng: random.Random) -> tuple[object, object]:
    """Content and classes with one to three things wrong, or none after all."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        kind = rng.random()
        if kind < 0.12:
            classes = rng.choice(
                [
                    *(tuple(rng.sample(CLASSES, k)) for k in (1, 2, 3)),
                    *(CLASSES[:2], (*CLASSES, 'cow'), ('cat', 'cat', 'dog'), ('cat', 'Eel', 'dog'), 'cat', ('cat', 3)),
                ]
            )
        elif kind < 0.2 and isinstance(content, dict) and isinstance(content.get('categories'), list):
            rng.shuffle(content['categories'])
        elif kind < 0.24:
            content = rng.choice([content, [content], None, 7, 'text', {}, content.get('annotations', [])])
            content = copy.deepcopy(content)
        else:
            _spoil_a_place(content, rng)
        if not isinstance(content, dict):
            break
    return content, classes


def _spoil_a_place(content: dict, rng: random.Random) -> None:
    """Change, delete or repeat something at a random place, deep ones and annotations more often."""
    inner = content.get('annotations')
    node = inner if rng.random() < 0.6 and inner and isinstance(inner, (dict, list)) else content
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if not keys:
            return
        key = rng.choice(keys)
        child = node[key]
        if isinstance(child, (dict, list)) and child and rng.random() < 0.8:
            node = child
            continue
        what = rng.random()
        if what < 0.25:
            del node[key]
        elif what < 0.35 and isinstance(node, list):
            node.append(copy.deepcopy(child))
        else:
            node[key] = copy.deepcopy(rng.choice(HOSTILE))
        return


def encoded(content: object, rng: random.Random) -> bytes:
    """The file's bytes, one in thirty of them not what JSON is."""
    text = json.dumps(content).encode()
    kind = rng.random()
    if kind < 0.01:
        return text[: rng.randint(0, len(text) - 1)]
    if kind < 0.02:
        return b''
    return bytes(rng.randrange(256) for _ in range(200)) if kind < 0.03 else text


class Fuzz:
    """Tries files in a folder.

    Args:
        root: The folder; images are written there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / 'annotations.json'
        self.verdicts: Counter = Counter()
        for n, (width, height) in enumerate(SIZES):
            cv2.imwrite(str(root / f'{n}.png'), np.full((height, width, 3), 40 * n, np.uint8))
        self.messages: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.messages.append(record.getMessage())
        MMLogger.get_current_instance().addHandler(handler)

    def try_file(self, seed: int) -> str | None:
        """What is wrong with how file number `seed` is dealt with; None if nothing is."""
        rng = random.Random(seed)
        content, classes = spoil(clean(rng), CLASSES, rng)
        self.path.write_bytes(encoded(content, rng))
        masks, evaluated = rng.random() < 0.5, rng.random() < 0.3
        self.messages.clear()
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                dataset = self._load(classes, masks, evaluated)
            except Exception as error:
                return self._refusal_fault(error)
            try:
                return self._loading_fault(dataset, classes, masks, evaluated)
            except (LookupError, TypeError, ValueError) as error:
                return f'loaded what cannot be told: {type(error).__name__}: {error}'

    def _load(self, classes: object, masks: bool, evaluated: bool) -> ChipDataset | CheckedCocoDataset:
        load = [
            dict(type='LoadImageFromFile'),
            dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=masks),
        ]
        cfg = dict(
            data_root=f'{self.root}/',
            ann_file='annotations.json',
            data_prefix=dict(img=''),
            metainfo=dict(classes=classes),
        )
        if evaluated:
            return CheckedCocoDataset(**cfg, test_mode=True, pipeline=load)
        steps = [*load, dict(type='mmsniper.ChipSampler'), dict(type='mmsniper.PackChipInputs')]
        return ChipDataset(dict(type='CocoDataset', **cfg), PLANNER, steps)

    def _refusal_fault(self, error: Exception) -> str | None:
        text = str(error)
        self.verdicts['refused'] += 1
        named = 'annotations.json' in text or "metainfo's classes" in text
        if 'none of the' in text and 'has an object' in text:
            named = True  # nothing left to teach; what was left out has been said, with the file's name
        if not isinstance(error, (ValueError, TypeError)) or not named:
            return f'refused without the file: {type(error).__name__}: {text}'
        if 'cannot be used' in text and not re.search(r'\((id|name|number) ', text):
            return f'refused without a record: {text}'
        return None if REMEDY.search(text) or 'the log says why' in text else f'refused without a remedy: {text}'

    def _loading_fault(self, dataset: object, classes: object, masks: bool, evaluated: bool) -> str | None:
        self.verdicts['loaded'] += 1
        content = json.loads(self.path.read_bytes())
        names = {category['id']: category['name'] for category in content['categories']}
        images = {image['id']: image for image in content['images']}
        said = Counter()
        for annotation in content.get('annotations', []):
            x, y, w, h = (float(np.float32(value)) for value in annotation['bbox'])
            crowd = bool(annotation.get('iscrowd'))
            said[annotation['image_id'], names[annotation['category_id']], round(x, 2), round(y, 2), crowd] += 1
        inner = dataset if evaluated else dataset.dataset
        taught = Counter()
        for n in range(len(inner)):
            info = inner.get_data_info(n)
            image = images[info['img_id']]
            if (info['width'], info['height']) != (image['width'], image['height']):
                return f'image {image} has become {info["width"]} x {info["height"]}'
            for instance in info['instances']:
                x, y = (round(float(np.float32(value)), 2) for value in instance['bbox'][:2])
                taught[info['img_id'], classes[instance['bbox_label']], x, y, bool(instance['ignore_flag'])] += 1
        if wrong := taught - said:
            return f'taught what the file does not say: {wrong}'
        left_out = sum(int(n) for m in self.messages for n in re.findall(r': (\d+) annotations left out', m))
        if (said - taught).total() != left_out or len(inner) != len(images):
            return f'{(said - taught).total()} annotations are missing, {left_out} are counted: {self.messages}'
        return self._evaluation_fault(masks) if evaluated else self._chips_fault(dataset)

    def _chips_fault(self, dataset: ChipDataset) -> str | None:
        for n in range(len(dataset)):
            try:
                sample = dataset[n]['data_samples']
            except RuntimeError as error:
                if str(self.root) not in str(error) or not REMEDY.search(str(error)):
                    return f'a chip fails without a name or a remedy: {error}'
                self.verdicts['refused later, by image'] += 1
                return None
            if not np.isfinite(sample.gt_instances.bboxes.tensor.numpy()).all():
                return f'chip {n} has a box that is not finite'
        return None

    def _evaluation_fault(self, masks: bool) -> str | None:
        truth = COCO(str(self.path))
        found = [
            dict(image_id=image['id'], category_id=category['id'], bbox=[5, 5, 30, 30], score=0.5)
            for image in truth.dataset['images']
            for category in truth.dataset['categories']
        ]
        for kind in ['bbox', 'segm'] if masks else ['bbox']:
            try:
                coco = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), kind)
                coco.evaluate()
                coco.accumulate()
            except Exception as error:
                return f'loaded, but its evaluation fails: {type(error).__name__}: {error}'
        return None


def main() -> None:
    """Read the arguments, try the files, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--files', type=int, default=5000, help='how many files')
    parser.add_argument('--first', type=int, default=0, help='number of the first')
    args = parser.parse_args()
    init_default_scope('mmdet')
    failed = 0
    with tempfile.TemporaryDirectory() as root:
        fuzz = Fuzz(Path(root))
        for handler in MMLogger.get_current_instance().handlers:
            handler.setLevel(logging.CRITICAL if isinstance(handler, logging.StreamHandler) else handler.level)
        for seed in range(args.first, args.first + args.files):
            if fault := fuzz.try_file(seed):
                failed += 1
                print(f'file {seed}: {fault}', flush=True)
    print(f'{args.files} files, {dict(fuzz.verdicts)}, {failed} dealt with wrong')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
