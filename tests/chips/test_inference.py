import math

import numpy as np
import pytest

from mmsniper.chips import ChipPlanner, PyramidPlanner
from mmsniper.chips.inference import inference_pyramid, untaught_sizes
from mmsniper.chips.scales import check_ranges, check_scales

PAPER = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])
PAPER_TESTS = dict(scales=[(2000, 1400), (1280, 800), (512, 480)], ranges=[(None, 90), (32, 180), (75, None)])
LARGE = dict(scales=[1.0, (512, 512)], valid_ranges=[(None, 250), (200, None)])


def untaught(planner, tests, size=(640, 480)):
    scales = check_scales(tests['scales'])
    return untaught_sizes(ChipPlanner(**planner), scales, check_ranges(tests['ranges'], scales, 'ranges'), size)


@pytest.mark.parametrize('kind', [ChipPlanner, PyramidPlanner])
def test_the_papers_planner_has_the_papers_test_pyramid(kind):
    scales, ranges = inference_pyramid(kind(**PAPER))
    assert scales == ((2000, 1400), (1280, 800), (512, 480))
    assert ranges.tolist() == [[0, 90], [32, 180], [75, math.inf]]


@pytest.mark.parametrize(
    'changes', [dict(valid_ranges=[(None, 80), (32, 151), (120, None)]), dict(scales=[2.5, 1.667, (512, 512)])], ids=str
)
def test_any_other_has_its_own_scales_and_ranges_a_fifth_wider(changes):
    planner = ChipPlanner(**{**PAPER, **changes})
    scales, ranges = inference_pyramid(planner)
    assert scales == planner.scales
    assert ranges[:, 0].tolist() == pytest.approx([0, 32 / 1.2, 100])
    assert ranges[:2, 1].tolist() == pytest.approx([96, planner.valid_ranges[1, 1] * 1.2])
    assert ranges[2, 1] == math.inf


def test_a_derived_pyramid_is_taught():
    for planner in (PAPER, LARGE):
        scales, ranges = inference_pyramid(ChipPlanner(**planner))
        assert untaught(planner, dict(scales=list(scales), ranges=[tuple(pair) for pair in ranges.tolist()])) == []


def test_the_papers_pyramid_is_not_what_a_planner_for_large_objects_teaches():
    """Zooms 2.92 and 1.67 for the small and the middle, where training shows all below 250 px at 1.0."""
    first, second = untaught(LARGE, PAPER_TESTS)
    assert (first.scale_idx, second.scale_idx) == (0, 1)
    assert first.zoom == pytest.approx(1400 / 480)
    assert (first.low, first.high) == pytest.approx((4, 90), rel=0.03)
    assert (second.low, second.high) == pytest.approx((32, 180), rel=0.03)
    assert first.taught_at == second.taught_at == [1.0]


def test_edges_that_reduce_a_large_image_are_not_taught():
    (first, *_) = untaught(PAPER, PAPER_TESTS, (4000, 3000))
    assert first.zoom == pytest.approx(1400 / 3000)
    assert first.taught_at[-1] == 3.0


def test_scales_in_another_order_are_not_taught():
    swapped = dict(scales=[(512, 512), 1.667, 3.0], ranges=PAPER['valid_ranges'])
    assert [one.scale_idx for one in untaught(PAPER, swapped)] == [0, 2]


def test_every_size_at_every_scale_is_more_than_was_taught():
    found = untaught(PAPER, dict(scales=PAPER['scales'], ranges=[(None, None)] * 3))
    assert [one.scale_idx for one in found] == [0, 1, 2]
    assert np.array([one.high for one in found[:2]]) == pytest.approx(math.sqrt(640 * 480))
