"""The shapes generator: what it writes is seeded, exact, small enough in its objects and gathered in clusters."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from shapely import Polygon

SCRIPT = Path(__file__).parents[2] / 'tools' / 'make_shapes_dataset.py'
# Tools are scripts, not modules of a package.
spec = importlib.util.spec_from_file_location('make_shapes_dataset', SCRIPT)
shapes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shapes)

SMALL = dict(width=(160, 200), height=(120, 160), size=(10, 60), distractors=(2, 4))


def read(out_dir, split='train'):
    return json.loads((out_dir / 'annotations' / f'{split}.json').read_text())


def boxes_of(annotations):
    """(N, 4) float xyxy, image frame."""
    xywh = np.array([annotation['bbox'] for annotation in annotations]).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)


def coverage(rings, height, width):
    """Share of each pixel inside the union of rings, (H, W) float, by 4 x 4 samples a pixel."""
    union = shapely.union_all([Polygon(np.reshape(ring, (-1, 2))) for ring in rings])
    shapely.prepare(union)
    y, x = (np.mgrid[: height * 4, : width * 4] + 0.5) / 4
    return shapely.contains_xy(union, x, y).reshape(height, 4, width, 4).mean((1, 3))


@pytest.fixture(scope='module')
def train_annotations():
    """Layout of the first 100 training images: (width, height, annotations) each; pixels are left out for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, 'draw_background', lambda rng, w, h: np.broadcast_to(np.uint8(0), (h, w, 3)))
        patch.setattr(shapes, 'paint', lambda *args: None)
        found = [shapes.make_image(shapes.Options(), 'train', index) for index in range(100)]
    assert sum(lost for *_, lost in found) == 0
    return [(image.shape[1], image.shape[0], annotations) for image, annotations, _ in found]


def test_no_images(tmp_path):
    assert shapes.make_dataset(tmp_path, train=0, val=0, progress=False) == 0
    data = read(tmp_path)
    assert data['images'] == data['annotations'] == []
    assert [(c['id'], c['name']) for c in data['categories']] == list(enumerate(shapes.CLASSES, 1))


def test_coco_files(tmp_path):
    shapes.make_dataset(tmp_path, train=3, val=2, progress=False, **SMALL)
    for split, count in dict(train=3, val=2).items():
        data = read(tmp_path, split)
        assert [image['id'] for image in data['images']] == list(range(1, count + 1))
        for image in data['images']:
            pixels = cv2.imread(str(tmp_path / split / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3)
        assert [a['id'] for a in data['annotations']] == list(range(1, len(data['annotations']) + 1))
        assert {a['image_id'] for a in data['annotations']} == set(range(1, count + 1))
        assert {a['iscrowd'] for a in data['annotations']} == {0}
    assert (tmp_path / 'train' / '000000.jpg').read_bytes() != (tmp_path / 'val' / '000000.jpg').read_bytes()


def test_same_seed_same_bytes_and_more_images_leave_the_earlier_ones(tmp_path):
    for name, count, seed in (('few', 2, 7), ('again', 2, 7), ('more', 4, 7), ('other', 2, 8)):
        shapes.make_dataset(tmp_path / name, train=count, val=1, seed=seed, progress=False, **SMALL)
    few = {p.relative_to(tmp_path / 'few'): p.read_bytes() for p in (tmp_path / 'few').rglob('*.*')}
    assert len(few) == 5
    assert few == {path: (tmp_path / 'again' / path).read_bytes() for path in few}
    for path, content in few.items():
        if path.suffix == '.jpg':
            assert (tmp_path / 'more' / path).read_bytes() == content
            assert (tmp_path / 'other' / path).read_bytes() != content
    first, more = read(tmp_path / 'few'), read(tmp_path / 'more')
    assert len(more['images']) == 4
    for key in ('images', 'annotations'):
        assert more[key][: len(first[key])] == first[key]


def test_boxes_and_areas_are_those_of_the_polygons(train_annotations):
    truncated = 0
    for width, height, annotations in train_annotations:
        for annotation, box in zip(annotations, boxes_of(annotations), strict=True):
            rings = [np.reshape(ring, (-1, 2)) for ring in annotation['segmentation']]
            points = np.concatenate(rings)
            np.testing.assert_allclose(box, [*points.min(0), *points.max(0)], atol=0.01)
            assert (points >= 0).all() and (points <= (width, height)).all()
            assert (box[2:] - box[:2]).min() >= 5.99
            assert all(Polygon(ring).is_valid for ring in rings)
            assert annotation['area'] == pytest.approx(sum(Polygon(ring).area for ring in rings), abs=0.01)
            truncated += (points == 0).any() or (points == (width, height)).any()
    assert truncated >= 10


def test_sizes(train_annotations):
    boxes = np.concatenate([boxes_of(annotations) for *_, annotations in train_annotations])
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(1)
    assert (area < 32**2).mean() >= 0.42
    assert 0.1 <= (area >= 96**2).mean() <= 0.25
    assert 250 < sides.max() <= 400.01


def test_all_classes_and_overlaps(train_annotations):
    labels = [a['category_id'] for *_, annotations in train_annotations for a in annotations]
    assert np.bincount(labels, minlength=6)[1:].min() >= 0.1 * len(labels)
    overlapping = 0
    for *_, annotations in train_annotations:
        polygons = [[Polygon(np.reshape(ring, (-1, 2))) for ring in a['segmentation']] for a in annotations]
        for i, below in enumerate(polygons):
            area = sum(part.area for part in below)
            later = shapely.union_all([part for above in polygons[i + 1 :] for part in above])
            hidden = sum(part.intersection(later).area for part in below)
            assert hidden <= (shapes.MAX_COVER + 0.01) * area
            overlapping += hidden > 0
    assert overlapping >= 50


def test_objects_gather_in_part_of_the_image(train_annotations):
    touched, far, gaps = [], [], []
    for width, height, annotations in train_annotations:
        near = np.zeros((height, width), bool)
        boxes = boxes_of(annotations)
        for x1, y1, x2, y2 in boxes:
            near[max(0, int(y1) - 64) : int(y2) + 65, max(0, int(x1) - 64) : int(x2) + 65] = True
        if len(boxes):
            touched.append(near.mean())
            far.append((boxes[:, 2:] - boxes[:, :2]).max() < 80)
        if len(boxes) > 1:
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            distances = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag([np.inf] * len(boxes))
            gaps.append(distances.min(1).mean() / np.sqrt(width * height / len(boxes)))
    assert np.mean(gaps) < 0.35  # nearest neighbours; objects scattered evenly have 0.5 and more
    touched, far = np.array(touched), np.array(far)
    assert touched.mean() < 0.4
    assert far.mean() > 0.5  # images without a large object, hence without a chip of everything
    assert touched[far].mean() < 0.25


@pytest.mark.parametrize(('fraction', 'without'), [(0, []), (0.05, [19, 39]), (0.5, list(range(1, 40, 2)))])
def test_images_without_objects(monkeypatch, fraction, without):
    monkeypatch.setattr(shapes, 'draw_background', lambda rng, w, h: np.zeros((h, w, 3), np.uint8))
    options = shapes.Options(empty=fraction, **SMALL)
    found = [shapes.make_image(options, 'val', index)[1] for index in range(40)]
    assert [index for index, annotations in enumerate(found) if not annotations] == without


def test_options_are_respected():
    options = shapes.Options(width=(300, 310), height=(220, 230), objects=(3, 5), size=(20, 40), empty=0)
    for index in range(8):
        image, annotations, lost = shapes.make_image(options, 'train', index)
        assert 300 <= image.shape[1] <= 310 and 220 <= image.shape[0] <= 230
        assert lost == 0 and 3 <= len(annotations) <= 5
        boxes = boxes_of(annotations)
        inside = (boxes[:, :2] > 0).all(1) & (boxes[:, 2:] < image.shape[1::-1]).all(1)
        longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
        assert (longer <= 40.02).all() and (longer[inside] >= 19.98).all()


def test_an_image_too_full_says_so(tmp_path, capsys):
    args = '--train 1 --val 0 --width 64 64 --height 64 64 --objects 40 40 --size 30 30 --distractors 0 0'
    shapes.main([str(tmp_path), *args.split()])
    placed = len(read(tmp_path)['annotations'])
    assert 1 <= placed < 40
    assert f'{40 - placed} objects found no free place' in capsys.readouterr().out


@pytest.mark.parametrize('index', range(4))
def test_pixels_agree_with_polygons(index):
    look = dict(width=(200, 240), height=(200, 240), size=(10, 100), distractors=(0, 0), empty=0)
    drawn, annotations, _ = shapes.make_image(shapes.Options(objects=(6, 8), **look), 'train', index)
    background, nothing, _ = shapes.make_image(shapes.Options(objects=(0, 0), **look), 'train', index)
    assert nothing == [] and len(annotations) >= 6
    difference = np.abs(drawn.astype(int) - background).sum(2)
    share = coverage([ring for a in annotations for ring in a['segmentation']], *difference.shape)
    assert (difference[share > 0.9] > 0).all()
    # Anti-aliasing may touch a pixel beside the outline, lightly; polygons one pixel off would leave far more outside.
    assert (difference[share == 0] > 0).mean() < 0.01
    for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert difference[np.roll(share, step, (0, 1)) == 0].sum() > 4 * difference[share == 0].sum()


def test_distractors_are_drawn_but_not_annotated():
    look = dict(width=(200, 240), height=(200, 240), objects=(0, 0))
    plain, *_ = shapes.make_image(shapes.Options(distractors=(0, 0), **look), 'train', 0)
    image, annotations, _ = shapes.make_image(shapes.Options(distractors=(8, 8), **look), 'train', 0)
    assert annotations == []
    assert (image != plain).any(2).mean() > 0.02


def test_a_concave_shape_cut_by_the_border_has_several_polygons():
    comb = np.array([[-10, 0], [5, 0], [5, 10], [-5, 10], [-5, 20], [5, 20], [5, 30], [-10, 30]])
    parts = shapes.clip(comb, 40, 40)
    assert sorted(part.bounds for part in parts.geoms) == [(0, 0, 5, 10), (0, 20, 5, 30)]
    assert shapes.clip(comb - (100, 0), 40, 40).is_empty


@pytest.mark.parametrize(
    'args',
    [
        '--width 900 640',
        '--objects 5 2',
        '--size 2 40',
        '--size 390 400',
        '--distractors -1 3',
        '--empty 1.5',
        '--train -1',
        '--seed -1',
        '--height 640 x',
    ],
)
def test_a_bad_option_is_named(args, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        shapes.main([str(tmp_path / 'out'), *args.split()])
    assert f'error: {args.split()[0]}' in capsys.readouterr().err.replace('argument ', '')
    assert not (tmp_path / 'out').exists()


def test_an_unwritable_image_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes.cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match=r'cannot write .*000000\.jpg'):
        shapes.make_dataset(tmp_path, train=1, progress=False, **SMALL)
    assert not (tmp_path / 'annotations' / 'train.json').exists()
