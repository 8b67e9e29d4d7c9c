"""Masks in the chip: against what the exact polygon, moved into the chip, covers."""

import copy
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.datasets.transforms import LoadAnnotations, RandomFlip
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask

from mmsniper.chips import ChipPlanner
from mmsniper.datasets.transforms import ChipSampler, LoadChipAnnotations, ObjectMasks, PackChipInputs
from mmsniper.datasets.transforms.bitmaps import to_bitmaps
from mmsniper.datasets.transforms.object_masks import PixelMask

SIZE = WIDTH, HEIGHT = 300, 200
PLANNER = ChipPlanner([2.0, 1.3, 0.6], [(None, None)] * 3, chip_size=128, stride=8)


def star(rng, lowest=15, highest=45):
    """A polygon with edges amid pixels, (2P,), somewhere in the image."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = rng.uniform(lowest, highest) * rng.uniform(0.7, 1, (24, 1))
    centre = rng.uniform(0, SIZE)
    return (centre + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)).clip(0, SIZE).ravel()


def drawn(polygons, size=SIZE):
    """What polygons cover, by pycocotools alone."""
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size[::-1])))


def compressed(polygons):
    rle = coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))
    return dict(size=[HEIGHT, WIDTH], counts=rle['counts'].decode())


def uncompressed(polygons):
    edges = np.flatnonzero(np.diff(drawn(polygons).T.ravel(), prepend=0))
    return dict(size=[HEIGHT, WIDTH], counts=np.diff(edges, prepend=0, append=WIDTH * HEIGHT).tolist())


def window_of(rng, scale):
    """A random chip of a scale: window, and the extent that it is zoomed to."""
    side = int(128 / scale)
    x, y = rng.integers(0, max(WIDTH - side, 0) + 1), rng.integers(0, max(HEIGHT - side, 0) + 1)
    window = np.array([x, y, min(x + side, WIDTH), min(y + side, HEIGHT)])
    return window, np.rint((window[2:] - window[:2]) * scale).astype(int)


def exact(polygons, window, extent):
    """(128, 128) mask of polygons that are moved into the chip as they are."""
    zooms = extent / (window[2:] - window[:2])
    mask = np.zeros((128, 128), np.uint8)
    moved = [((p.reshape(-1, 2) - window[:2]) * zooms).ravel() for p in polygons]
    mask[: extent[1], : extent[0]] = drawn(moved, extent.tolist())
    return mask


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def cut(objects, window, extent):
    return to_bitmaps(ObjectMasks(objects).cut(window, extent, (128, 128))).masks


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3.0, 2.0, 1.3, 0.6]))
@example(368828, 3.0)  # passes a corner of the chip: three sides leave nothing for the fourth
def test_polygons_are_exact(seed, scale):
    rng = np.random.default_rng(seed)
    window, extent = window_of(rng, scale)
    polygons = [star(rng, 5, 90) for _ in range(2)]
    ours, expected = cut([polygons], window, extent)[0], exact(polygons, window, extent)
    # COCO rounds to a fifth of a pixel, so an edge that is clipped lies up to a tenth of a pixel beside the whole edge.
    assert (ours != expected).sum() <= 20
    assert not ours[extent[1] :].any()
    assert not ours[:, extent[0] :].any()


def test_polygons_are_exact_pixels_are_aligned_and_cv2s_nearest_is_not():
    rng = np.random.default_rng(0)
    exactly, aligned, nearest = [], [], []
    for n in range(500):
        window, extent = window_of(rng, [1.667, 1.3, 0.8][n % 3])  # at whole zooms cv2's is aligned, too
        polygons = [star(rng)]
        expected = exact(polygons, window, extent)
        if expected.sum() < 400:
            continue
        exactly.append(iou(cut([polygons], window, extent)[0], expected))
        aligned.append(iou(cut([PixelMask.from_rle(compressed(polygons))], window, extent)[0], expected))
        x1, y1, x2, y2 = window
        theirs = np.zeros((128, 128), np.uint8)
        crop = drawn(polygons)[y1:y2, x1:x2]
        theirs[: extent[1], : extent[0]] = cv2.resize(crop, extent.tolist(), interpolation=cv2.INTER_NEAREST)
        nearest.append(iou(theirs, expected))
    assert len(aligned) > 60
    assert np.mean(exactly) >= 0.9995
    assert np.mean(aligned) >= 0.96
    assert np.mean(aligned) > np.mean(nearest) + 0.01


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0, 1.0, 0.6]), st.sampled_from([compressed, uncompressed]))
def test_rle_and_whole_bitmaps_give_the_same_pixels(seed, scale, encode):
    rng = np.random.default_rng(seed)
    window, extent = window_of(rng, scale)
    polygons = [star(rng), star(rng)]
    pixels = PixelMask.from_rle(encode(polygons))
    whole = np.zeros((HEIGHT, WIDTH), np.uint8)
    h, w = pixels.pixels.shape
    whole[pixels.y : pixels.y + h, pixels.x : pixels.x + w] = pixels.pixels
    assert (whole == drawn(polygons)).all(), 'the rectangle holds the object'
    assert all(pixels.pixels[line].any() for line in (0, -1, (slice(None), 0), (slice(None), -1))), 'and no more'
    bitmaps = ObjectMasks.wrap(BitmapMasks(whole[None], HEIGHT, WIDTH)).cut(window, extent, (128, 128))
    assert (bitmaps.masks[0] == cut([pixels], window, extent)[0]).all()
    if scale == 1.0:
        x1, y1, x2, y2 = window
        assert (bitmaps.masks[0] == whole[y1:y2, x1:x2]).all()


@pytest.mark.parametrize('counts', [[WIDTH * HEIGHT], [0, WIDTH * HEIGHT], [0, 0, WIDTH * HEIGHT], [7, 1, 60000 - 8]])
def test_rle_of_nothing_everything_and_one_pixel(counts):
    mask = PixelMask.from_rle(dict(size=[HEIGHT, WIDTH], counts=counts))
    assert mask.pixels.sum() == mask.pixels.size == sum(counts[1::2])
    assert cut([mask], np.array([0, 0, 128, 128]), np.array([128, 128]))[0].sum() == min(sum(counts[1::2]), 128 * 128)


@pytest.mark.parametrize('counts', [[5], 'no code', None, [60001, -1], {}])
def test_broken_rle_is_refused(counts):
    with pytest.raises(ValueError, match='do not add up'):
        PixelMask.from_rle(dict(size=[HEIGHT, WIDTH], counts=counts))


def test_a_large_image_costs_what_its_objects_cost():
    side = 20000
    counts = [5 * side + 10, 30, side - 30, 30, side * side - 6 * side - 40]
    assert PixelMask.from_rle(dict(size=[side, side], counts=counts)).pixels.shape == (30, 2)


def test_polygons_are_clipped_to_the_chip():
    u = np.array([10, 10, 20, 10, 20, 60, 40, 60, 40, 10, 50, 10, 50, 80, 10, 80.0])
    around = np.array([-20, -20, 400, -20, 400, 400, -20, 400.0])
    beside = np.array([60, 0, 90, 0, 90, 90.0])
    shared = ObjectMasks([[u], [around], [beside], [u, beside], []])
    before = copy.deepcopy(shared.objects)
    masks = shared.cut(np.array([5, 5, 55, 45]), np.array([100, 80]), (128, 128))
    assert isinstance(masks, PolygonMasks)
    assert (masks.height, masks.width) == (128, 128)
    assert [[p.tolist() for p in polygons] for polygons in masks.masks[2::2]] == [[[0] * 6]] * 2, "mmdet's stand-in"
    assert [len(polygons) for polygons in masks.masks] == [1, 1, 1, 1, 1]
    assert masks.areas.tolist() == [2 * 20 * 70, 8000, 0, 2800, 0]
    for (polygon,) in masks.masks:
        assert (polygon.reshape(-1, 2) >= 0).all()
        assert (polygon.reshape(-1, 2) <= (100, 80)).all()
    arms = to_bitmaps(masks).masks[0]
    assert arms[60, 20] == arms[60, 80] == 1
    assert arms[60, 50] == 0
    assert all((a[0] == b[0]).all() for a, b in zip(before[:4], shared.objects[:4], strict=True)), 'it is shared'


def test_what_the_chip_has_cut_off_does_not_come_back():
    window, extent = np.array([50, 0, 114, 64]), np.array([128, 128])
    masks = ObjectMasks([[np.array([0, 10, 100, 10, 100, 40, 0, 40.0])]]).cut(window, extent, (128, 128))
    moved = to_bitmaps(masks.translate((128, 128), 20)).masks[0]
    assert moved[20:80, 20:120].all()
    assert moved.sum() == 60 * 100


def test_it_is_what_a_list_is():
    masks = ObjectMasks([[np.zeros(6)], PixelMask(0, 0, np.ones((2, 2), np.uint8)), [np.ones(8)]])
    assert len(masks) == 3
    assert repr(masks) == 'ObjectMasks(2 of polygons, 1 of pixels)'
    assert repr(masks[np.array([1])]) == 'ObjectMasks(0 of polygons, 1 of pixels)'
    assert len(masks[np.array([], int)]) == 0
    assert len(pickle.loads(pickle.dumps(masks))) == len(copy.deepcopy(masks)) == 3
    with pytest.raises(AttributeError, match="no 'flip': put ChipSampler right behind LoadChipAnnotations"):
        RandomFlip(prob=1.0)(dict(img=np.zeros((9, 9, 3), np.uint8), gt_masks=masks, img_shape=(9, 9)))


def sample(kinds, seed, loader=None, **changes):
    """A chip's results, of an image with objects of `kinds`, through a loader of masks."""
    rng = np.random.default_rng(seed)
    objects = [[star(rng, 25, 80)] for _ in kinds]
    instances = []
    for n, (kind, polygons) in enumerate(zip(kinds, objects, strict=True)):
        points = polygons[0].reshape(-1, 2)
        mask = dict(polygons=[polygons[0].tolist()], rle=compressed(polygons), counts=uncompressed(polygons))[kind]
        box = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
        instances.append(dict(bbox=box, bbox_label=n, ignore_flag=0, mask=mask))
    loaded = (loader or LoadChipAnnotations(with_bbox=True, with_mask=True))(
        dict(instances=instances, width=WIDTH, height=HEIGHT, ori_shape=(HEIGHT, WIDTH), img_path='some.png')
    )
    window, _ = window_of(rng, 1.3)
    loaded.update(img=np.zeros((HEIGHT, WIDTH, 3), np.uint8), chip=window, scale_idx=1, chip_scale=1.3)
    loaded.update({'keep_polygons': True, **changes})
    return objects, ChipSampler(PLANNER)(loaded)


@pytest.mark.parametrize(
    'kinds', [['polygons'] * 6, ['rle', 'counts', 'rle'], ['polygons', 'rle', 'polygons', 'counts', 'polygons']]
)
@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical', 'diagonal'])
def test_packed_masks_are_the_objects_masks(kinds, direction):
    seen = 0
    for seed in range(8):
        objects, results = sample(kinds, seed)
        kept = results['gt_bboxes_labels']
        pixels = any(kinds[n] != 'polygons' for n in kept)
        assert isinstance(results['gt_masks'], BitmapMasks if pixels else PolygonMasks)
        window = results['chip']
        extent = np.rint((window[2:] - window[:2]) * results['scale_factor']).astype(int)
        if direction:
            results = RandomFlip(prob=1.0, direction=direction)(results)
        packed = PackChipInputs()(results)['data_samples']
        for instances in packed.gt_instances, packed.ignored_instances:
            assert isinstance(instances.masks, BitmapMasks)
            for label, mask in zip(instances.labels.tolist(), instances.masks.masks, strict=True):
                expected = exact(objects[label], window, extent)
                if direction in ('horizontal', 'diagonal'):
                    expected = expected[:, ::-1]
                if direction in ('vertical', 'diagonal'):
                    expected = expected[::-1]
                if expected.sum() > 400:
                    seen += 1
                    # COCO's rounding is not symmetric: a flipped polygon may cover other pixels of the outline.
                    alike = iou(mask, expected)
                    assert alike >= (0.93 if kinds[label] != 'polygons' else 0.97 if direction else 0.998)
    assert seen >= 5


def test_boxes_and_labels_do_not_depend_on_the_loader():
    seen = []
    for seed in range(8):
        _, ours = sample(['polygons', 'rle', 'polygons', 'polygons'], seed)
        _, theirs = sample(['polygons', 'rle', 'polygons', 'polygons'], seed, LoadAnnotations(with_mask=True))
        assert ours['gt_bboxes'].tensor.tolist() == theirs['gt_bboxes'].tensor.tolist()
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            assert ours[key].tolist() == theirs[key].tolist()
        for label, a, b in zip(ours['gt_bboxes_labels'], to_bitmaps(ours['gt_masks']), theirs['gt_masks'], strict=True):
            assert (a == b).all() if label == 1 else (a != b).sum() <= 0.1 * b.sum() + 20
            seen.append(label)
    assert seen.count(1) >= 3
    assert len(seen) >= 10


def test_an_object_clipped_away_from_its_mask_keeps_its_box():
    box = HorizontalBoxes(np.array([[10, 10, 100, 100]], np.float32))
    corner = np.array([90, 90, 100, 90, 100, 100.0])
    for mask in [corner], PixelMask(90, 90, np.ones((10, 10), np.uint8)):
        results = dict(
            img=np.zeros((HEIGHT, WIDTH, 3), np.uint8), width=WIDTH, height=HEIGHT, gt_bboxes=box,
            gt_bboxes_labels=np.array([3]), gt_ignore_flags=np.array([False]), gt_masks=ObjectMasks([mask]),
            chip=np.array([0, 0, 64, 64]), scale_idx=0, chip_scale=2.0,
        )  # fmt: skip
        packed = PackChipInputs()(RandomFlip(prob=1.0)(ChipSampler(PLANNER)(results)))['data_samples']
        assert packed.gt_instances.labels.tolist() == [3]
        assert packed.gt_instances.masks.masks.shape == (1, 128, 128)
        assert not packed.gt_instances.masks.masks.any()


def test_alone_the_cut_makes_bitmaps():
    _, results = sample(['polygons'] * 3, 0, keep_polygons=False)
    assert isinstance(results['gt_masks'], BitmapMasks)


def test_it_is_indexed_as_an_array_is():
    masks = ObjectMasks([[np.full(6, float(n))] for n in range(4)])

    def first(of):
        return [mask[0][0] for mask in of.objects]

    assert first(masks[np.array([False, True, False, True])]) == [1, 3]
    assert first(masks[np.array([True] * 4)]) == [0, 1, 2, 3]
    assert first(masks[np.array([3, 0])]) == [3, 0]
    assert first(masks[1:3]) == [1, 2]
    assert first(masks[2]) == [2]
    assert first(masks[np.zeros(4, bool)]) == []
