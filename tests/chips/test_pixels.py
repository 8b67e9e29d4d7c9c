import numpy as np
import pytest

from mmsniper.chips import ChipPlan, ChipPlanner, Chips, PyramidPlanner, chip_pixels, resized_pixels
from mmsniper.chips.plan import NO_CHIPS, BoxTable

RANGES = [(None, 60), (40, None)]


def test_no_chips_cost_nothing():
    assert chip_pixels(ChipPlanner([2.0, 1.0], RANGES), NO_CHIPS, 32) == 0


def test_a_chip_counts_as_what_it_is_padded_to():
    planner = ChipPlanner([2.0, 1.0], RANGES, chip_size=100)
    chips = Chips(np.array([[0, 0, 50, 50], [0, 0, 7, 9]], np.float32), np.zeros(2, int), np.full(2, 2.0))
    assert chip_pixels(planner, chips, 1) == 2 * 100**2
    assert chip_pixels(planner, chips, 32) == 2 * 128**2


def test_whole_images_count_as_large_as_they_are():
    planner = PyramidPlanner([2.0, (100, 100)], RANGES)
    table = BoxTable.build([(np.zeros((0, 4)), (200, 150)), (np.zeros((0, 4)), (50, 90))])
    chips = ChipPlan.draw(planner, table, 0, 0, 0).chips
    # 100 x 75 and 56 x 100 at the second scale.
    expected = 416 * 320 + 128 * 96 + 128 * 192 + 64 * 128
    assert chip_pixels(planner, chips, 32) == expected


@pytest.mark.parametrize('size', [(640, 427), (427, 640), (333, 500), (1, 1000), (4000, 3000)])
@pytest.mark.parametrize('scale', [(1333, 800), (1333, 640), (512, 512)])
def test_images_are_resized_as_mmdet_does(size, scale):
    from mmcv.image import rescale_size

    width, height = rescale_size(size, scale)
    assert resized_pixels(np.array([size]), [scale], 1) == width * height
    assert resized_pixels(np.array([size]), [scale], 32) == -(-width // 32) * -(-height // 32) * 32**2


def test_the_mean_is_over_images_and_scales():
    sizes = np.array([(100, 100), (100, 100), (100, 50)])
    assert resized_pixels(sizes, [1.0, 2.0], 1) == pytest.approx((2 * (10_000 + 40_000) + 5000 + 20_000) / 6)
