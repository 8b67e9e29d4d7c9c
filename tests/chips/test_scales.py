import math

import numpy as np
import pytest

from mmsniper.chips import ChipPlanner, clip_boxes, scale_factor
from mmsniper.chips.scales import assign_scales, check_scales, check_valid_ranges, chip_sides

SCALES = check_scales([3.0, 1.667, (512, 512)])
RANGES = [(None, 80), (32, 150), (120, None)]


@pytest.mark.parametrize(
    ('scale', 'size', 'factor'),
    [
        (1.667, (640, 480), 1.667),
        ((512, 512), (640, 480), 0.8),
        ((512, 512), (200, 400), 1.28),
        ((2000, 1400), (640, 480), 1400 / 480),  # the short edge limits
        ((1400, 2000), (640, 480), 1400 / 480),  # as for mmdet, the order of the pair does not matter
        ((2000, 1400), (1000, 100), 2.0),  # the long edge limits
    ],
)
def test_scale_factor_follows_mmdet_resize(scale, size, factor):
    assert scale_factor(scale, *size) == pytest.approx(factor)


@pytest.mark.parametrize(('factor', 'window'), [(3.0, 171), (1.667, 308), (0.8, 640), (512 / 333, 333), (1.0, 512)])
def test_chips_are_of_whole_pixels(factor, window):
    assert chip_sides(np.array([factor]), 512).tolist() == [window]


def test_windows_of_one_image_and_of_many():
    planner, sizes = ChipPlanner(SCALES, RANGES), [(640, 480), (333, 500), (1, 1), (8000, 600)]
    factors, sides = planner.windows_of_images(np.array(sizes))
    assert factors.shape == sides.shape == (4, 3)
    for n, size in enumerate(sizes):
        one = planner.windows(size)
        assert one[0].tolist() == factors[n].tolist() == [scale_factor(scale, *size) for scale in SCALES]
        assert one[1].tolist() == sides[n].tolist() == chip_sides(factors[n], 512).tolist()


@pytest.mark.parametrize(
    ('scales', 'message'),
    [
        ([], 'at least one'),
        (3.0, 'must be a list'),
        ('3.0', 'must be a list'),
        ([3.0, 0], r'scales\[1\] is 0'),
        ([-1.0], r'scales\[0\]'),
        (['big'], "scales\\[0\\] is 'big'"),
        ([(512,)], r'scales\[0\] is \(512,\)'),
        ([(800, -1)], r'scales\[0\]'),
        ([True], r'scales\[0\] is True'),
        ([math.inf], r'scales\[0\]'),
        ([None], r'scales\[0\] is None'),
    ],
)
def test_unknown_scale_forms_are_named(scales, message):
    with pytest.raises(ValueError, match=message):
        check_scales(scales)


@pytest.mark.parametrize(
    ('ranges', 'message'),
    [
        ([(None, 80), (32, None)], '3 scales but 2 valid_ranges'),
        ([(None, 80), (100, 150), (120, None)], 'gap.*from 80 to 100'),
        ([(10, 80), (32, 150), (120, None)], 'gap.*from 0 to 10'),
        ([(None, 80), (32, 150), (120, 600)], 'gap.*from 600 to infinity'),
        ([(None, 80), (150, 32), (120, None)], r'valid_ranges\[1\] is \(150, 32\)'),
        ([(None, 80), 32, (120, None)], r'valid_ranges\[1\] is 32'),
        ([(0, None), (400, None), (120, None)], r'valid_ranges\[1\] .* no chip of 512 can hold'),
        ([(None, float('nan')), (0, None), (0, None)], r'valid_ranges\[0\]'),
    ],
)
def test_bad_ranges_say_what_is_wrong(ranges, message):
    with pytest.raises(ValueError, match=message):
        check_valid_ranges(ranges, SCALES, 512)


def test_ranges_open_ends_become_numbers():
    assert check_valid_ranges(RANGES, SCALES, 512).tolist() == [[0, 80], [32, 150], [120, math.inf]]


def valid_and_planned(box, size=(640, 480), scales=SCALES, ranges=RANGES):
    planner = ChipPlanner(scales, ranges)
    args = (clip_boxes(np.array([box], float), (0, 0, *size)), planner.valid_ranges, *planner.windows(size))
    compiled, plain = assign_scales(*args), assign_scales.py_func(*args)
    assert all((a == b).all() for a, b in zip(compiled, plain, strict=True))
    return tuple(matrix[:, 0].tolist() for matrix in compiled)


@pytest.mark.parametrize(
    ('side', 'expected'),
    [
        (10, [1, 0, 0]),
        (31.99, [1, 0, 0]),
        (32, [1, 1, 0]),  # half-open: lo belongs to the range
        (80, [0, 1, 0]),  # and hi does not
        (120, [0, 1, 1]),
        (150, [0, 0, 1]),
        (400, [0, 0, 1]),
    ],
)
def test_validity_is_by_size_half_open(side, expected):
    valid, planned = valid_and_planned([5, 5, 5 + side, 5 + side])
    assert valid == planned == [bool(v) for v in expected]


@pytest.mark.parametrize('box', [[5, 5, 6.9, 50], [5, 5, 50, 6.9], [5, 5, 5, 5], [9, 9, 5, 5]])
def test_boxes_under_two_pixels_are_valid_nowhere(box):
    assert valid_and_planned(box) == ([False] * 3, [False] * 3)


def test_a_long_thin_box_is_rescued_by_the_finest_scale_that_encloses_it():
    # 600 x 9: size 73, in the ranges of both fine scales, too long for their chips (171 and 308 px).
    valid, planned = valid_and_planned([10, 10, 610, 19])
    assert planned == [False, False, True]
    assert valid == [True, True, True]
    # 300 x 3: size 30, the finest scale's alone; the middle one can enclose it.
    assert valid_and_planned([10, 10, 310, 13])[1] == [False, True, False]


def test_a_box_no_chip_can_hold_is_planned_nowhere():
    planner = ChipPlanner([2.0, 1.0], [(None, 100), (50, None)], chip_size=128, stride=16)
    boxes = np.array([[0, 0, 200, 200], [0, 0, 100, 100]], float)
    valid, planned = assign_scales(boxes, planner.valid_ranges, *planner.windows((640, 480)))
    assert valid.any(0).tolist() == [True, True]
    assert planned.any(0).tolist() == [False, True]
    assert len(planner.positive([[0, 0, 200, 200]], (640, 480))) == 0
