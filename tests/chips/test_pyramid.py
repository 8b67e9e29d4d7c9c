import numpy as np
import pytest

from mmsniper.chips import BoxTable, ChipPlan, ChipPlanner, PyramidPlanner, build_planner

RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])


def test_every_image_is_taken_whole_at_every_scale():
    chips = PyramidPlanner(**RECIPE).positive([[10, 10, 30, 30]], (640, 480))
    assert chips.bboxes.tolist() == [[0, 0, 640, 480]] * 3
    assert chips.scale_idx.tolist() == [0, 1, 2]
    np.testing.assert_allclose(chips.scale, [3.0, 1.667, 0.8])


def test_images_without_objects_too():
    table = BoxTable.build([(np.zeros((0, 4)), (640, 480)), ([[1, 1, 50, 50]], (300, 800))])
    plan = ChipPlan.draw(PyramidPlanner(**RECIPE), table, 0, 0, empty_chips=0)
    assert plan.image_idx.tolist() == [0, 0, 0, 1, 1, 1]
    assert plan.key(4).bbox == (0, 0, 300, 800)


def test_what_is_valid_is_as_with_chips():
    """But for the rescued: nothing is too long for a whole image."""
    boxes = [[0, 0, 20, 20], [0, 0, 79, 80], [0, 0, 100, 100], [0, 0, 130, 140], [0, 0, 400, 400], [0, 0, 1, 40]]
    snip, sniper = PyramidPlanner(**RECIPE), ChipPlanner(**RECIPE)
    np.testing.assert_array_equal(snip.valid(boxes, (640, 480)), sniper.valid(boxes, (640, 480)))
    long = [[0, 0, 600, 5]]
    assert snip.valid(long, (640, 480))[:, 0].tolist() == [True, True, False]
    assert sniper.valid(long, (640, 480))[:, 0].tolist() == [True, True, True]


def test_there_is_no_negative_chip():
    snip = PyramidPlanner(**RECIPE)
    chips = snip.positive([], (640, 480))
    assert snip.uncovered([[0, 0, 50, 50]], (640, 480), chips).tolist() == [[False]] * 3
    with pytest.raises(ValueError, match='no negative chips'):
        snip.negative([[0, 0, 50, 50]], (640, 480), chips, 1)


def test_a_config_names_its_planner():
    assert type(build_planner(RECIPE)) is ChipPlanner
    snip = build_planner(dict(RECIPE, type='PyramidPlanner'))
    assert type(snip) is PyramidPlanner
    assert build_planner(snip) is snip
    assert repr(build_planner(snip.settings)) == repr(snip)
    assert repr(snip).startswith('PyramidPlanner(scales=[3.0')
    with pytest.raises(ValueError, match="one of ChipPlanner, PyramidPlanner; got 'Chips'"):
        build_planner(dict(RECIPE, type='Chips'))
