import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    import infer

    return infer


@pytest.fixture
def folder(tmp_path):
    """Three images, two of the same name but for the extension, a broken one and a text."""
    rng = np.random.default_rng(0)
    images = tmp_path / 'images'
    images.mkdir()
    for name, width, height in (('a.jpg', 80, 60), ('a.png', 50, 90), ('z.png', 2500, 10)):
        cv2.imwrite(str(images / name), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    (images / 'broken.jpg').write_text('no image')
    (images / 'notes.txt').write_text('no image')
    return images


def test_a_folder_with_a_broken_image(run_tool, tiny_mask_rcnn, folder, tmp_path):
    out = tmp_path / 'new/out'
    done = run_tool('infer.py', *tiny_mask_rcnn, folder, '--out', out, '--device', 'cpu')
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert '1 files' in done.stdout and 'left out' in done.stdout
    assert f'{folder / "broken.jpg"}: cannot be read as an image' in done.stderr
    assert '1 of 4 images could not be done' in done.stderr
    assert sorted(path.name for path in out.iterdir()) == ['a.jpg.png', 'a.png.png', 'detections.json', 'z.png']
    sizes = {path.name: cv2.imread(str(path)).shape[1::-1] for path in out.glob('*.png')}
    assert sizes == {'a.jpg.png': (80, 60), 'a.png.png': (50, 90), 'z.png': (2000, 8)}

    coco = COCO(out / 'detections.json')
    assert [(image['id'], image['file_name'], image['width'], image['height']) for image in coco.imgs.values()] == [
        (1, 'a.jpg', 80, 60),
        (2, 'a.png', 50, 90),
        (3, 'z.png', 2500, 10),
    ]
    assert coco.loadCats([1, 2]) == [dict(id=1, name='thing'), dict(id=2, name='other')]
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
    for image_id, image in coco.imgs.items():
        annotations = coco.imgToAnns[image_id]
        assert 0 < len(annotations) <= 20
        for annotation in annotations:
            x, y, w, h = annotation['bbox']
            assert x >= 0 and y >= 0 and w > 0 and h > 0
            assert x + w <= image['width'] + 0.01 and y + h <= image['height'] + 0.01
            assert annotation['category_id'] in (1, 2) and 0 < annotation['score'] < 1 and not annotation['iscrowd']
            assert annotation['segmentation']['size'] == [image['height'], image['width']]
            assert annotation['area'] == coco.annToMask(annotation).sum()


def test_one_image_at_one_scale(run_tool, tiny_mask_rcnn, folder, tmp_path):
    options = ['--device', 'cpu', '--no-tta', '--cfg-options', 'model.test_cfg.rcnn.max_per_img=7']
    done = run_tool('infer.py', *tiny_mask_rcnn, folder / 'a.png', '--out', tmp_path / 'out', *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '1 images, 7 detections' in done.stdout
    assert cv2.imread(str(tmp_path / 'out/a.png')).shape == (90, 50, 3)


@pytest.mark.parametrize(
    ('image', 'out', 'message'),
    [
        ('images', 'images', 'is the folder of the images'),
        ('images/a.png', 'images', 'is the folder of the images'),
        ('empty', 'out', 'no images among 0 files'),
    ],
)
def test_what_is_refused(tool, monkeypatch, capsys, folder, tmp_path, image, out, message):
    (tmp_path / 'empty').mkdir()
    arguments = ['infer.py', 'config', 'checkpoint', str(tmp_path / image), '--out', str(tmp_path / out)]
    monkeypatch.setattr(sys, 'argv', arguments)
    with pytest.raises(SystemExit) as stop:
        tool.main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('names', 'pictures'),
    [
        (['a.jpg', 'b.tif'], ['a.png', 'b.png']),
        (['a.jpg', 'a.png'], ['a.jpg.png', 'a.png.png']),
        (['a.jpg', 'A.jpg'], ['a.jpg.png', 'A.jpg_.png']),
        (['a.jpg', 'a.jpg.png', 'a.png'], ['a.jpg.png', 'a.jpg_.png', 'a.png.png']),
    ],
    ids=['different', 'extension', 'case', 'hostile'],
)
def test_no_picture_replaces_another(tool, names, pictures):
    assert tool.picture_names([Path(name) for name in names]) == pictures


RLE = coco_mask.encode(np.asfortranarray(np.ones((6, 8), np.uint8)))
FOUND = dict(bboxes=[[1, 2, 5, 4]], labels=[0], scores=[0.5], masks=[dict(size=[6, 8], counts=RLE['counts'].decode())])
NOTHING = dict(bboxes=[], labels=[], scores=[])


def test_parts_of_several_processes_become_one_file(tool, tmp_path):
    (tmp_path / 'all.json').write_text('old')
    jobs = [tool.Parts(tmp_path, rank, 2) for rank in range(2)]
    with jobs[1]:
        jobs[1].add(1, 'b.png', 8, 6, FOUND)
    with jobs[0]:
        jobs[0].add(0, 'a.png', 8, 6, NOTHING)
        jobs[0].add(2, 'c.png', 8, 6, FOUND)
    jobs[0].wait()
    assert jobs[0].merge(tmp_path / 'all.json', ('thing',)) == (3, 2)
    content = json.loads((tmp_path / 'all.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['a.png', 'b.png', 'c.png']
    assert [(a['id'], a['image_id'], a['area'], a['bbox']) for a in content['annotations']] == [
        (1, 2, 48, [1, 2, 4, 2]),
        (2, 3, 48, [1, 2, 4, 2]),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ['all.json']


def test_an_image_that_was_being_written_is_none(tool, tmp_path):
    part = tool.Parts(tmp_path, 0, 1)

    def stopped():
        with part:
            part.add(0, 'a.png', 8, 6, NOTHING)
            part.file.write('[1, {"file_na')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped()
    assert part.merge(tmp_path / 'all.json', ('thing',)) == (1, 0)


@pytest.fixture
def detecting(tool, tiny_mask_rcnn, folder, tmp_path, monkeypatch):
    """The script in this process, on three good images into DIR/out; a function of what `detect` does instead."""
    (folder / 'broken.jpg').unlink()
    arguments = ['infer.py', *tiny_mask_rcnn, folder, '--out', tmp_path / 'out', '--device', 'cpu']

    def run(detect=None, *options):
        monkeypatch.setattr(sys, 'argv', [*map(str, arguments), *options])
        with monkeypatch.context() as patched:
            if detect:
                patched.setattr(tool, 'detect', detect)
            tool.main()

    return run


def test_ctrl_c_leaves_the_file_of_an_earlier_run(tool, detecting, tmp_path, capsys):
    detecting()
    path = tmp_path / 'out/detections.json'
    before = path.read_text()
    real, calls = tool.detect, []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.raises(SystemExit) as stop:
        detecting(stop_at_the_third)
    assert stop.value.code == 130
    assert path.read_text() == before
    partial = json.loads((tmp_path / 'out/detections_partial.json').read_text())
    assert [image['file_name'] for image in partial['images']] == ['a.jpg', 'a.png']
    assert 'detections_partial.json has 2 of 3 images' in capsys.readouterr().err
    detecting()
    assert path.read_text() == before
    assert not [name for name in os.listdir(tmp_path / 'out') if 'part' in name]


def test_what_limits_leave_out_is_said_of_each_image(detecting, capsys):
    detecting(None, '--score-thr', '0.0', '--cfg-options', 'tta_model.tta_cfg.max_per_img=3')
    said = [line for line in capsys.readouterr().err.splitlines() if 'left out by max_per_img=3' in line]
    assert len(said) == 3
    assert 'more detections that would be drawn' in said[0] and 'set tta_model.tta_cfg.max_per_img=' in said[0]


def test_a_config_that_does_not_fit_is_refused(detecting):
    with pytest.raises(SystemExit, match='error: the checkpoint does not fit the config'):
        detecting(None, '--cfg-options', 'model.backbone.depth=34')


def test_a_launcher_that_did_not_start_it_is_refused(detecting):
    with pytest.raises(SystemExit, match='error: --launcher pytorch is for processes that torchrun has started'):
        detecting(None, '--launcher', 'pytorch')
