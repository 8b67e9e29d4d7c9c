"""Boxes that are no pixels, or corners: recognised by all of a file, and real files are left alone."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS

from mmsniper.datasets import ChipDataset
from mmsniper.datasets.coco_units import wrong_units

DATA = Path(os.environ.get('MMSNIPER_TEST_DATA', Path(__file__).parents[3] / 'shared/data'))
SIZE = np.array([640, 480])


def file_of(boxes, size=SIZE):
    """Annotations and images of (N, 4) xyxy pixels, as [x, y, w, h], [x1, y1, x2, y2] and shares of the image."""
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    images = {1: dict(width=int(size[0]), height=int(size[1]))}
    kinds = dict(right=sizes, corners=boxes, normalised=sizes / np.tile(size, 2))
    return {name: [dict(image_id=1, bbox=box.tolist()) for box in kind] for name, kind in kinds.items()}, images


def random_boxes(n, low=8, high=200, seed=0):
    rng = np.random.default_rng(seed)
    sides = rng.uniform(low, high, (n, 2))
    corner = rng.uniform(0, 1, (n, 2)) * (SIZE - sides)
    return np.concatenate([corner, corner + sides], axis=1).round(1)


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('n', [8, 30, 20_000])
def test_each_is_recognised(n, seed):
    if n > 1000 and seed:
        return
    kinds, images = file_of(random_boxes(n, seed=seed))
    assert wrong_units(kinds['right'], images) is None
    assert 'a share of the image' in wrong_units(kinds['normalised'], images)[0]
    assert 'have a box [x1, y1, x2, y2], it seems' in wrong_units(kinds['corners'], images)[0]


HARMLESS = {
    'none': np.zeros((0, 4)),
    'one that reaches out': np.array([[300, 200, 700, 500.0]]),
    'all from the corner': np.concatenate([np.zeros((30, 2)), random_boxes(30)[:, 2:]], axis=1),
    'whole images': np.tile([0, 0, 640, 480.0], (30, 1)),
    'whole images and a little more': np.tile([5, 5, 646, 486.0], (30, 1)),
    'of a pixel, in the corner': np.tile([0, 0, 1, 1.0], (30, 1)),
    'two of a hundred corrupted': np.concatenate([random_boxes(98), random_boxes(2) + [0, 0, 500, 500]]),
}


@pytest.mark.parametrize('name', HARMLESS)
def test_others_are_left_alone(name):
    kinds, images = file_of(HARMLESS[name])
    assert wrong_units(kinds['right'], images) is None


def test_malformed_records_are_passed_over():
    annotations = [3, {}, dict(bbox=[1, 2]), dict(bbox=[float('nan')] * 4, image_id=1), dict(bbox=[1] * 4, image_id=[])]
    assert wrong_units(annotations, {1: dict(width=9, height=9)}) is None


@pytest.mark.skipif(not DATA.exists(), reason='no real data')
@pytest.mark.parametrize('name', ['coco_dev/annotations', 'bccd/annotations', 'hituav/train', 'hituav/val'])
def test_real_files(name):
    """Right as they are; rewritten with the mistake, each is recognised."""
    content = json.loads((DATA / f'{name}.json').read_text())
    images = {image['id']: image for image in content['images']}
    annotations = content['annotations']
    assert wrong_units(annotations, images) is None
    for annotation in annotations:
        x, y, w, h = annotation['bbox']
        annotation['bbox'] = [x, y, x + w, y + h]
    assert 'it seems' in wrong_units(annotations, images)[0]
    for annotation in annotations:
        image = images[annotation['image_id']]
        annotation['bbox'] = (np.array(annotation['bbox']) / ([image['width'], image['height']] * 2)).tolist()
    assert 'a share of the image' in wrong_units(annotations, images)[0]


@pytest.mark.parametrize('evaluated', [False, True], ids=['training', 'validation'])
@pytest.mark.parametrize('kind', ['corners', 'normalised'])
def test_a_data_set_refuses_them(write_coco, planner_cfg, pipeline, evaluated, kind):
    boxes = np.array(random_boxes(12))
    kinds, _ = file_of(boxes)
    cfg = write_coco([(640, 480, [dict(bbox=one['bbox']) for one in kinds['right']])])
    path = Path(cfg['data_root']) / 'annotations.json'
    content = json.loads(path.read_text())
    for annotation, wrong in zip(content['annotations'], kinds[kind], strict=True):
        annotation['bbox'] = wrong['bbox']
    path.write_text(json.dumps(content))
    if evaluated:
        cfg.update(type='mmsniper.CheckedCocoDataset', test_mode=True)
    else:
        cfg = dict(type='mmsniper.ChipDataset', dataset=cfg, planner=planner_cfg, pipeline=pipeline)
    with pytest.raises(ValueError, match=r'annotations\.json cannot be used: its annotations have a box') as raised:
        DATASETS.build(cfg)
    assert ('write [x1, y1, x2 - x1, y2 - y1]' if kind == 'corners' else 'multiply x and width') in str(raised.value)


def test_an_empty_list(write_coco, planner_cfg, pipeline, messages):
    cfg = write_coco([(64, 48, [])])
    with pytest.raises(ValueError, match=r'none of the 1 images has an object'):
        ChipDataset(cfg, planner_cfg, pipeline)
    assert any('its list of annotations is empty: its 1 images are nothing but background' in m for m in messages())
    DATASETS.build(dict(cfg, type='mmsniper.CheckedCocoDataset', test_mode=True))
