"""The commands of docs/labels.md, on data with traps, and what our own check says of the files that they write."""

import json

import labels
import numpy as np
import pytest
from PIL import Image

from mmsniper.datasets.annotations import CheckedCocoDataset

pytest.importorskip('supervision')
pytest.importorskip('globox')

CLASSES = ('zebra', 'ant', 'cat')  # not in the alphabet's order
NAMES = ('a.jpg', 'b.png', 'c.JPG', 'nothing.jpg', 'unlabelled.png', 'f.jpeg', 'turned.jpg')


@pytest.fixture
def data(tmp_path):
    """COCO content and the folder of its images; the last is stored on its side, its EXIF says how to turn it."""
    rng = np.random.default_rng(0)
    coco = dict(images=[], annotations=[], categories=[dict(id=n, name=name) for n, name in enumerate(CLASSES)])
    folder = tmp_path / 'originals'
    folder.mkdir()
    for n, name in enumerate(NAMES):
        width, height = (int(side) for side in rng.integers(100, 700, 2))
        stored = (height, width) if name == 'turned.jpg' else (width, height)
        image, exif = Image.new('RGB', stored), Image.Exif()
        exif[0x0112] = 6 if name == 'turned.jpg' else 1
        image.save(folder / name, exif=exif)
        coco['images'].append(dict(id=n, file_name=name, width=width, height=height))
        for label in range(0 if name in ('nothing.jpg', 'unlabelled.png') else 6):
            x, y = rng.uniform(0, 0.5, 2) * (width, height)
            w, h = rng.uniform(0.02, 0.5, 2) * (width, height)
            bbox = [float(value) for value in (x, y, w, h)]
            coco['annotations'].append(dict(image_id=n, category_id=label % 3, bbox=bbox))
    return coco, folder


@pytest.mark.parametrize('name', ['yolo, one folder', 'voc', 'csv', 'csv, pixels'])
def test_boxes_and_classes_are_the_same_and_pass_our_check(name, data, tmp_path, messages):
    coco, images = data
    if name.startswith('csv'):  # globox reads sizes as they are stored, and the page says so
        turned = coco['images'].pop()
        coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] != turned['id']]
    work = tmp_path / 'work'
    work.mkdir()
    truth = labels.write(name, coco, images, work)
    for path in work.glob('*/unlabelled.*'):
        if path.parent.name != 'images' and path.suffix in ('.txt', '.xml'):
            path.unlink()
    found = labels.convert(name, work)
    missed, difference = labels.compare(truth, found)
    assert (missed, len(truth)) == (0, 4 if name.startswith('csv') else len(NAMES))
    assert difference < 1e-3
    assert {image['file_name'] for part in found for image in part['images']} == set(truth)
    sizes = {image['file_name']: (image['width'], image['height']) for image in coco['images']}
    for part in found:
        assert all(sizes[image['file_name']] == (image['width'], image['height']) for image in part['images'])
    names = [tuple(category['name'] for category in part['categories']) for part in found]
    assert set(names) == {CLASSES if name.startswith('yolo') else tuple(sorted(CLASSES))}

    for split in ('train', 'val')[: len(found)]:
        for test_mode in (False, True):
            CheckedCocoDataset(
                ann_file=str(work / f'{split}.json'),
                data_prefix=dict(img=f'{images}/'),
                metainfo=dict(classes=names[0]),
                test_mode=test_mode,
                filter_cfg=None,
            )
    assert messages() == []


def test_splits_of_yolo_have_the_same_classes(data, tmp_path):
    """As Ultralytics lays them out, with a class that is in one split only."""
    coco, images = data
    labels.write('yolo, one folder', coco, images, tmp_path)
    for kind in ('images', 'labels'):
        for split, stem in (('train', 'a'), ('val', 'nothing')):
            source = next((tmp_path / kind).glob(f'{stem}.*'))
            target = tmp_path / 'split' / kind / split / source.name
            target.parent.mkdir(parents=True)
            target.write_bytes(source.read_bytes())
    (tmp_path / 'split' / 'data.yaml').write_text(json.dumps(dict(names=dict(enumerate(CLASSES)))))
    found = labels.convert('yolo', tmp_path / 'split')
    assert [[category['name'] for category in part['categories']] for part in found] == [list(CLASSES)] * 2
    assert [len(part['annotations']) for part in found] == [6, 0]
    assert [len(part['images']) for part in found] == [1, 1]
