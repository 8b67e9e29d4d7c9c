"""What the score is made of, on plans that can be counted by hand."""

import numpy as np
import pytest
from suggest_data import content_of

from mmsniper.chips import ChipPlanner
from mmsniper.suggest import read_fingerprint
from mmsniper.suggest.score import anchor_iou, comfort, score_plan, score_single

ANCHORS = np.array([32.0, 64, 128, 256, 512])


@pytest.mark.parametrize(
    ('size', 'expected'),
    [(8, 0), (4, 0), (32, 2 / 3), (64, 1), (256, 1), (384, 0.75), (512, 0.5), (513, 0), (np.nan, 0)],
)
def test_comfort_of_a_size_in_a_chip(size, expected):
    assert comfort(np.array([float(size)]), ANCHORS, 512)[0] == pytest.approx(expected, abs=1e-6)


def test_whole_images_have_room_up_to_the_largest_anchor():
    sizes = np.array([512.0, 700, 1024])
    np.testing.assert_allclose(comfort(sizes, ANCHORS), [1, 1, 0.5], atol=1e-6)


def test_anchors_far_apart_leave_a_gap():
    np.testing.assert_allclose(anchor_iou(np.array([32.0, 90.5]), np.array([32.0, 256])), [1, 1 / 8], rtol=1e-3)
    assert comfort(np.array([90.5]), np.array([32.0, 256]), 512)[0] == pytest.approx(0.25, rel=1e-3)


@pytest.fixture
def data(write):
    """One image of 512 px with an object of 64 px, and one of 16 px far from it."""
    return read_fingerprint(write(content_of([(512, 512, [[10, 10, 64, 64], [480, 480, 16, 16]])])))


def score(data, scales, ranges):
    return score_plan(ChipPlanner(scales, ranges, 512, 32), data.table, data.weights(), ANCHORS, 512.0**2)


def test_one_chip_that_shows_all(data):
    found = score(data, [1.0], [(None, None)])
    small = np.log(4 * 16 / 32) / np.log(8)
    assert found.comfort == pytest.approx((1 + small) / 2)
    assert (found.comfortable, found.seen, found.twice, found.pixels, found.test_pixels) == (0.5, 1, 0, 1, 1)
    assert found.total == pytest.approx(found.comfort)
    assert found.sizes.tolist() == pytest.approx([64, 16])


def test_a_second_scale_is_paid_for(data):
    found = score(data, [4.0, 1.0], [(None, 32), (16, None)])
    # 16 px are 64 at zoom 4, which count as 45: what lies beyond a zoom of 2 is interpolated.
    assert found.sizes.tolist() == pytest.approx([64, 64])
    assert found.comfort == pytest.approx((1 + np.log(4 * 64 / np.sqrt(2) / 32) / np.log(8)) / 2)
    assert found.pixels == 2
    assert found.test_pixels == 17
    assert found.twice == 0  # at zoom 1 the small one is seen badly, which counts for nothing
    assert found.total == pytest.approx(found.comfort - 0.06 - 0.01 * np.log2(17))


def test_objects_that_no_chip_teaches_cost_twice(data):
    found = score(data, [20.0], [(None, None)])
    assert found.seen == 0.5
    assert np.isnan(found.sizes[0])
    assert found.total < found.comfort - 0.5


def test_whole_images_by_the_same_measure(data):
    from mmsniper.suggest.fingerprint import object_sizes

    single = score_single(2.0, data.table, object_sizes(data.table), data.weights(), ANCHORS, 512.0**2)
    assert single.sizes.tolist() == [128, 32]
    assert single.comfort == pytest.approx((1 + 2 / 3) / 2)
    assert single.total == pytest.approx(single.comfort - 0.07 * 2)
