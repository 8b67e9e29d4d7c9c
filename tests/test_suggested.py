"""Suggested configs train as they are written: real data, where there are some, shapes, and the extremes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get('MMSNIPER_TEST_DATA', ROOT.parent / 'shared' / 'data'))
REAL = dict(coco_dev='coco_dev/annotations.json', bccd='bccd/annotations.json', hituav='hituav/train.json')
# Size of the images, of the objects, objects per image.
EXTREMES = dict(small=((4000, 3000), (8, 16), 8), large=((4000, 3000), (600, 900), 2), all=((1600, 1200), (8, 800), 8))
N_IMAGES = 12

pytestmark = pytest.mark.slow


def squares(folder, size, objects, per_image):
    """Images of bright squares on grey, as a COCO data set."""
    rng = np.random.default_rng(0)
    content = dict(images=[], annotations=[], categories=[dict(id=1, name='square')])
    folder.mkdir()
    for i in range(N_IMAGES):
        picture = np.full((size[1], size[0], 3), 90, np.uint8)
        content['images'].append(dict(id=i, file_name=f'{i}.jpg', width=size[0], height=size[1]))
        for _ in range(per_image):
            side = int(np.exp(rng.uniform(*np.log(objects))))
            x, y = (int(rng.integers(edge - side)) for edge in size)
            picture[y : y + side, x : x + side] = 220
            number = len(content['annotations'])
            content['annotations'].append(
                dict(id=number, image_id=i, category_id=1, iscrowd=0, bbox=[x, y, side, side], area=side**2)
            )
        cv2.imwrite(str(folder / f'{i}.jpg'), picture)
    (folder / 'annotations.json').write_text(json.dumps(content))
    return folder / 'annotations.json'


def some_images(path, folder):
    """A few images of a data set, so that an epoch is short; the images stay where they are."""
    content = json.loads(path.read_text())
    content['images'] = content['images'][:N_IMAGES]
    kept = {image['id'] for image in content['images']}
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in kept]
    (folder / 'annotations.json').write_text(json.dumps(content))
    return folder / 'annotations.json'


def run(*command, folder):
    """Run one of our tools in a process of its own.

    Raises:
        AssertionError: If it fails; with what it said.
    """
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize('name', [*REAL, 'shapes', *EXTREMES])
def test_trains_as_written(name, tmp_path):
    images = []
    if name in REAL:
        source = DATA / REAL[name]
        if not source.exists():
            pytest.skip('no real data; set MMSNIPER_TEST_DATA')
        annotations = some_images(source, tmp_path)
        images = ['--images', source.parent / ('train' if name == 'hituav' else 'images')]
    elif name == 'shapes':
        run(ROOT / 'tools/make_shapes_dataset.py', 'data', '--train', N_IMAGES, '--val', '0', folder=tmp_path)
        annotations = tmp_path / 'data/annotations/train.json'
    else:
        annotations = squares(tmp_path / 'images', *EXTREMES[name])
    suggest = [ROOT / 'tools/suggest_scales.py', annotations, *images, '--base', 'sniper_tiny_shapes', '--epochs', '1']
    said = run(*suggest, '--out', 'mine.py', '--json', 'mine.json', folder=tmp_path)
    assert 'Wrote mine.py and mine.png and mine.json' in said
    found = json.loads((tmp_path / 'mine.json').read_text())
    assert found['plan']['score']['seen'] > 0.98
    run(ROOT / 'tools/train.py', 'mine.py', folder=tmp_path)
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').exists()
    figures = [json.loads(line) for path in tmp_path.glob('work_dirs/mine/*/vis_data/*.json') for line in path.open()]
    losses = [one['loss'] for one in figures if 'loss' in one]
    assert losses and np.isfinite(losses).all()
    log = ''.join(path.read_text() for path in tmp_path.glob('work_dirs/mine/*/*.log'))
    assert 'Epoch(val) [1]' in log  # it has validated, too, though after so few steps there may be no detections
