"""Annotation files of made-up data sets; their images are empty files, which nothing reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmsniper.suggest import read_base, read_fingerprint

CONFIGS = Path(__file__).parents[2] / 'configs'
# What users have; per kind (number of images, image size or sizes, object sizes, objects per image).
EXTREMES = {
    'tiny in large images': (12, [(4000, 3000)], (8, 16), 12),
    'large only': (30, [(4000, 3000)], (600, 900), 2),
    'log-uniform': (40, [(1600, 1200)], (8, 800), 8),
    'one size': (40, [(640, 480)], (100, 100), 4),
    'mixed resolutions': (40, [(640, 480), (1280, 960), (2560, 1920), (5120, 3840)], (0.06, 0.12), 5),
    '5 to 20 px in 12,000 px': (2, [(12000, 12000)], (5, 20), 40),
}


def made_up(images, shapes, sizes, objects, seed=0):
    """A COCO file's content; sizes below 1 are shares of the image's longer side."""
    rng = np.random.default_rng(seed)
    content = dict(images=[], annotations=[], categories=[dict(id=7, name='thing'), dict(id=3, name='other')])
    for i in range(images):
        width, height = shapes[i % len(shapes)]
        content['images'].append(dict(id=i, file_name=f'{i}.png', width=width, height=height))
        for _ in range(objects):
            size = np.exp(rng.uniform(*np.log(sizes))) * (max(width, height) if sizes[1] < 1 else 1)
            ratio = np.exp(rng.normal(0, 0.2))
            w, h = min(size * ratio, width), min(size / ratio, height)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            content['annotations'].append(
                dict(
                    id=len(content['annotations']), image_id=i, category_id=7, iscrowd=0, bbox=[x, y, w, h], area=w * h
                )
            )
    return content


@pytest.fixture
def write(tmp_path):
    """Writes a COCO file's content, and empty files for its images beside it; returns its path."""

    def call(content):
        (tmp_path / 'images').mkdir(exist_ok=True)
        for image in content['images']:
            (tmp_path / 'images' / image['file_name']).touch()
        path = tmp_path / 'annotations.json'
        path.write_text(json.dumps(content))
        return str(path)

    return call


@pytest.fixture
def make(write):
    """The fingerprint of one of the extremes."""
    return lambda name: read_fingerprint(write(made_up(*EXTREMES[name])))


@pytest.fixture(scope='session')
def demo():
    """The demo's config as base: chips of 256 px, anchors of 20 to 453 px, tested at a zoom of 1.5."""
    return read_base(str(CONFIGS / 'demo/sniper_tiny_shapes.py'))


@pytest.fixture(scope='session')
def r50():
    """The full-size recipe as base: chips of 512 px, anchors of 32 to 512 px, tested at 1333 x 800."""
    return read_base(str(CONFIGS / 'sniper/sniper_faster-rcnn_r50_fpn_coco.py'))
