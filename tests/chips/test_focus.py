"""FocusPixels and FocusChips: by hand, and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsniper.chips.focus import EITHER, EMPTY, FOCUS, focus_chips, focus_targets, merged


@pytest.mark.parametrize(
    ('size', 'expected'),
    [(3, EITHER), (5, EITHER), (5.1, FOCUS), (63.9, FOCUS), (64, EITHER), (90, EITHER), (90.1, EMPTY), (0, EITHER)],
)
def test_a_size_says_what_is_taught(size, expected):
    targets = focus_targets([[16, 0, 32, 16]], [size], (3, 4), 16)
    assert targets.tolist() == [[EMPTY, expected, EMPTY, EMPTY], [EMPTY] * 4, [EMPTY] * 4]


def test_cells_that_a_box_shares_pixels_with():
    targets = focus_targets([[15, 15, 33, 16.5]], [20], (3, 4), 16)
    assert targets.tolist() == [[FOCUS] * 3 + [EMPTY], [FOCUS] * 3 + [EMPTY], [EMPTY] * 4]
    assert not focus_targets([[16, 16, 16, 40]], [20], (3, 4), 16).any(), 'no pixels'
    assert focus_targets([[-40, -9, 400, 900]], [20], (3, 4), 16).all(), 'beyond the map'
    assert not focus_targets(np.zeros((0, 4)), [], (3, 4), 16).any()


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_what_is_taught_wins_where_objects_overlap(order):
    bboxes, sizes = np.array([[0, 0, 32, 16], [16, 0, 48, 16]]), np.array([70, 30])
    assert focus_targets(bboxes[list(order)], sizes[list(order)], (1, 3), 16).tolist() == [[EITHER, FOCUS, FOCUS]]


def test_chips_by_hand():
    probabilities = np.zeros((10, 10))
    probabilities[0, 0] = probabilities[9, 8] = 0.9
    chips = focus_chips(probabilities, 0.5, 3, 40, (10, 10), (100, 100))
    assert sorted(chips.tolist()) == [[0, 0, 40, 40], [60, 60, 100, 100]]
    assert focus_chips(probabilities, 0.5, 1, 1, (10, 10), (100, 95)).tolist() == [[0, 0, 10, 10], [80, 90, 90, 95]]
    assert len(focus_chips(probabilities, 0.95, 3, 40, (10, 10), (100, 100))) == 0, 'nothing is over it'
    assert len(focus_chips(probabilities, 0.5, 1, 1, (10, 10), (100, 90))) == 1, 'padding'
    assert focus_chips(probabilities, 0.5, 3, 60, (10, 10), (100, 100)).tolist() == [[0, 0, 60, 60], [40, 40, 100, 100]]
    assert focus_chips(probabilities, 0.5, 3, 75, (10, 10), (100, 100)).tolist() == [[0, 0, 100, 100]], 'as many pixels'
    assert focus_chips(probabilities, 0.5, 3, 900, (10, 10), (100, 100)).tolist() == [[0, 0, 100, 100]]


def test_diagonal_cells_are_one_part():
    assert focus_chips(np.eye(4), 0.5, 1, 1, (8, 8), (32, 32)).tolist() == [[0, 0, 32, 32]]


def test_boxes_are_joined_until_none_has_less_area_with_another():
    """The first joins only what the two others are together; the last overlaps, and stays apart."""
    boxes = np.array([[0, 0, 20, 20], [0, 15, 10, 40], [10, 15, 20, 40], [18, 38, 40, 60]])
    assert sorted(merged(boxes, 0.0).tolist()) == [[0, 0, 20, 40], [18, 38, 40, 60]]


def test_boxes_are_joined_where_another_chip_would_take_longer():
    boxes = np.array([[0, 0, 10, 10], [12, 0, 22, 10], [12, 40, 22, 50]])
    assert merged(boxes, 19.0).tolist() == boxes.tolist()
    assert sorted(merged(boxes, 20.0).tolist()) == [[0, 0, 22, 10], [12, 40, 22, 50]], '2 x 10 more'


maps = st.tuples(
    st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(0.0, 0.5), st.sampled_from([1, 3, 5])
)


@given(maps, st.floats(1, 300), st.floats(2, 30), st.floats(0.05, 1), st.floats(0.05, 1), st.sampled_from([0, 500]))
@settings(max_examples=300, deadline=None)
def test_properties(drawn, min_size, stride, share_x, share_y, spare):
    rows, columns, seed, density, dilate = drawn
    rng = np.random.default_rng(seed)
    probabilities = np.where(rng.random((rows, columns)) < density, rng.random((rows, columns)), 0)
    strides = (stride, stride * 1.01)
    width, height = max(int(columns * strides[0] * share_x), 1), max(int(rows * strides[1] * share_y), 1)
    chips = focus_chips(probabilities, 0.3, dilate, min_size, strides, (width, height), spare)
    assert chips.dtype == np.int64

    assert (chips[:, :2] >= 0).all()
    assert (chips[:, 2:] <= [width, height]).all()
    sides = chips[:, 2:] - chips[:, :2]
    assert (sides >= np.minimum(int(np.ceil(min_size)), [width, height])).all()
    painted = np.zeros((height, width), np.int64)
    for x1, y1, x2, y2 in chips:
        painted[y1:y2, x1:x2] += 1
    whole = np.array([[0, 0, width, height]])
    assert np.array_equal(chips, whole) or painted.sum() < width * height, 'never more than the whole image'
    for y, x in np.argwhere(probabilities > 0.3):
        cell = painted[
            int(y * strides[1]) : int(np.ceil((y + 1) * strides[1])),
            int(x * strides[0]) : int(np.ceil((x + 1) * strides[0])),
        ]
        assert cell.all(), 'every cell over the threshold is inside a chip'


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        (dict(threshold=0), 'threshold'),
        (dict(threshold=1.0), 'threshold'),
        (dict(threshold=True), 'threshold'),
        (dict(dilate=2), 'dilate'),
        (dict(dilate=0), 'dilate'),
        (dict(dilate=1.0), 'dilate'),
        (dict(min_size=0), 'min_size'),
        (dict(min_size=float('inf')), 'min_size'),
    ],
)
def test_malformed_settings_are_named(wrong, named):
    given = dict(threshold=0.5, dilate=3, min_size=64) | wrong
    with pytest.raises(ValueError, match=named):
        focus_chips(np.zeros((2, 2)), **given, stride=(16, 16), image_size=(32, 32))
