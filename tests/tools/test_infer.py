"""Pictures and COCO's format from a folder, by the tool as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from pycocotools.coco import COCO

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def infer(tmp_path_factory):
    """Calls the tool with a checkpoint of random weights of the demo's detector with masks."""
    folder = tmp_path_factory.mktemp('infer')
    config = ROOT / 'configs/demo/sniper_mask_tiny_shapes.py'
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    meta = dict(dataset_meta=dict(classes=cfg.metainfo.classes))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'checkpoint.pth')

    def call(*arguments):
        command = [sys.executable, ROOT / 'tools/infer.py', config, folder / 'checkpoint.pth', *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)

    return call


def test_a_folder_with_a_broken_image_and_two_of_one_name(infer, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    rng = np.random.default_rng(0)
    for name in ('a.png', 'a.jpg', 'c.png'):
        cv2.imwrite(str(images / name), rng.integers(0, 255, (60, 80, 3), np.uint8))
    (images / 'b.png').write_bytes(b'nothing')
    (images / 'readme.txt').touch()

    done = infer(images, '--out', tmp_path / 'out', '--score-thr', '0.0')
    assert done.returncode == 1
    assert 'b.png: cannot be read as an image' in done.stderr
    assert '1 of 4 images could not be done' in done.stderr
    assert '1 files' in done.stdout
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.png')) == ['a.jpg.png', 'a.png.png', 'c.png']
    coco = COCO(str(tmp_path / 'out/detections.json'))
    assert [image['file_name'] for image in coco.imgs.values()] == ['a.jpg', 'a.png', 'c.png']
    assert [category['name'] for category in coco.cats.values()][0] == 'circle'
    assert len(coco.anns) > 0
    for annotation in coco.anns.values():
        x, y, w, h = annotation['bbox']
        assert min(x, y, w, h) >= 0
        assert max(x + w, y + h) <= 80.01
        assert coco.annToMask(annotation).shape == (60, 80)


def test_one_image_at_one_scale(infer, tmp_path):
    path = tmp_path / 'one.png'
    cv2.imwrite(str(path), np.zeros((50, 40, 3), np.uint8))
    done = infer(path, '--out', tmp_path / 'out', '--no-tta')
    assert done.returncode == 0, done.stderr[-2000:]
    assert cv2.imread(str(tmp_path / 'out/one.png')).shape == (50, 40, 3)
    assert len(json.loads((tmp_path / 'out/detections.json').read_text())['images']) == 1


def test_pictures_never_replace_images(infer, tmp_path):
    cv2.imwrite(str(tmp_path / 'one.png'), np.zeros((50, 40, 3), np.uint8))
    done = infer(tmp_path, '--out', tmp_path)
    assert done.returncode == 2
    assert 'is the folder of the images' in done.stderr
