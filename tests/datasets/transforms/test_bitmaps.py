import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask

from mmsniper.datasets.transforms.bitmaps import as_bitmaps, picked_bitmaps, rasterise, shown_pixels, to_bitmaps

points = st.lists(st.tuples(st.floats(-30, 90), st.floats(-30, 90)), min_size=3, max_size=9)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 900), st.integers(1, 900))
def test_pixels_are_shown_at_their_centres(start, length, n):
    shown = shown_pixels(start, start + length, n)
    # The centre of pixel i is at (i + .5) * length / n: in whole numbers, so that nothing is rounded.
    expected = [start + (2 * i + 1) * length // (2 * n) for i in range(n)]
    assert shown.tolist() == expected
    if length % 2 == n % 2 == 1:  # where there is a pixel in the middle, it shows the middle
        assert shown[n // 2] == start + length // 2


def test_an_unzoomed_chip_shows_every_pixel_and_a_doubled_one_each_twice():
    assert shown_pixels(3, 8, 5).tolist() == [3, 4, 5, 6, 7]
    assert shown_pixels(3, 6, 6).tolist() == [3, 3, 4, 4, 5, 5]
    assert shown_pixels(0, 9, 3).tolist() == [1, 4, 7]


@settings(deadline=None)
@given(st.lists(points, min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(polygons):
    polygons = [np.array(polygon, float).ravel() for polygon in polygons]
    bitmap = np.zeros((50, 70), np.uint8)
    rasterise(polygons, bitmap)
    assert (bitmap == coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 50, 70)))).all()


def test_what_is_nowhere_draws_nothing():
    bitmap = np.zeros((8, 8), np.uint8)
    for polygons in [], [np.zeros(6)], [np.full(6, 8.0)], [np.array([20, 20, 30, 20, 30, 30.0])]:
        rasterise(polygons, bitmap)
    assert not bitmap.any()


@pytest.mark.parametrize('n', [0, 2])
def test_polygons_become_bitmaps_and_bitmaps_stay(n):
    bitmaps = to_bitmaps(PolygonMasks([[np.array([1, 1, 5, 1, 5, 4, 1, 4.0])]] * n, 9, 7))
    assert isinstance(bitmaps, BitmapMasks)
    assert bitmaps.masks.shape == (n, 9, 7)
    assert bitmaps.masks.sum() == n * 12
    assert to_bitmaps(bitmaps) is bitmaps
    pixels = np.ones((n, 9, 7), np.uint8)
    assert as_bitmaps(pixels).masks is pixels


@pytest.mark.parametrize('index', [[], [1], [0, 2], [0, 1, 2]])
def test_masks_are_picked_by_number(index):
    polygons = PolygonMasks([[np.array([0, 0, n, 0, n, 2, 0, 2.0])] for n in (2, 3, 4)], 5, 6)
    for masks in polygons, to_bitmaps(polygons):
        picked = picked_bitmaps(masks, np.array(index, int))
        assert isinstance(picked, BitmapMasks)
        assert picked.masks.shape == (len(index), 5, 6)
        assert picked.masks.sum(axis=(1, 2)).tolist() == [2 * (2, 3, 4)[n] for n in index]
