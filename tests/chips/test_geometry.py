import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsniper.chips import box_sizes, clip_boxes, to_chip, to_image, visible_fraction
from mmsniper.chips.geometry import as_boxes

NO_BOXES = np.zeros((0, 4))


def test_no_boxes_give_empty_arrays():
    assert box_sizes(NO_BOXES).shape == (0,)
    assert clip_boxes(NO_BOXES, (0, 0, 5, 5)).shape == (0, 4)
    assert visible_fraction(NO_BOXES, (0, 0, 5, 5)).shape == (0,)
    assert to_chip(NO_BOXES, (0, 0, 5, 5), 2.0).shape == (0, 4)
    assert as_boxes([]).shape == (0, 4)


def test_sizes_are_square_roots_of_areas():
    boxes = np.array([[0, 0, 4, 9], [1, 1, 1, 5], [5, 5, 2, 9]], float)
    assert box_sizes(boxes).tolist() == [6, 0, 0]


def test_visible_fraction_counts_area():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 15, 15], [20, 20, 30, 30], [3, 3, 3, 8]], float)
    assert visible_fraction(boxes, (0, 0, 10, 10)).tolist() == [1, 0.25, 0, 0]


def test_clip_keeps_dtype_and_argument():
    boxes = np.array([[-3, 2, 20, 30]], np.float32)
    clipped = clip_boxes(boxes, (0, 0, 10, 10))
    assert clipped.tolist() == [[0, 2, 10, 10]]
    assert clipped.dtype == np.float32
    assert boxes.tolist() == [[-3, 2, 20, 30]]


def test_to_chip_shifts_then_zooms_each_axis():
    boxes = np.array([[10, 20, 30, 60]], float)
    assert to_chip(boxes, (10, 10, 50, 50), 2.0).tolist() == [[0, 20, 40, 100]]
    assert to_chip(boxes, (10, 10, 50, 50), (2.0, 0.5)).tolist() == [[0, 5, 40, 25]]


def test_exactly_half_visible_is_half():
    boxes = np.array([[33, 0, 67, 98], [0, 0, 0, 9]], float)
    assert visible_fraction(boxes, (50, 0, 400, 400)).tolist() == [0.5, 0]


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(0, 10**4))
def test_half_of_a_box_of_whole_pixels_is_never_less(half_width, height, x):
    boxes = np.array([[x, 7, x + 2 * half_width, 7 + height]], float)
    assert visible_fraction(boxes, (x + half_width, 0, 10**5, 10**5)).tolist() == [0.5]


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
    st.floats(0.01, 20),
)
def test_chip_and_back_is_identity(box, origin, zoom):
    boxes, chip = np.array([box]), (*origin, origin[0] + 100, origin[1] + 100)
    np.testing.assert_allclose(to_image(to_chip(boxes, chip, zoom), chip, zoom), boxes, atol=1e-6)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([[1, 2, 3]], r'shape \(N, 4\)'),
        ([1, 2, 3, 4], r'shape \(N, 4\)'),
        ([[0, 0, 1, 1], [0, 0, float('nan'), 1]], 'box 1 is'),
        ([[0, 0, float('inf'), 1]], 'finite'),
    ],
)
def test_malformed_boxes_are_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        as_boxes(boxes)
