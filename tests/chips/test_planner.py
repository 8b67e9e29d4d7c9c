import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import images, planners

from mmsniper.chips import ChipPlanner, clip_boxes, to_chip, to_image
from mmsniper.chips.selection import _cover, positive_chips

RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])


def enclosed(boxes, chips, image_size):
    """(N, M) bool: chip n holds all of box m."""
    boxes = clip_boxes(np.asarray(boxes, float), (0, 0, *image_size))
    after = (chips.bboxes[:, None, :2] <= boxes[None, :, :2]).all(2)
    return after & (chips.bboxes[:, None, 2:] >= boxes[None, :, 2:]).all(2)


def test_chips_import_without_the_detection_stack():
    code = (
        'import sys; sys.modules.update(torch=None, mmcv=None, mmdet=None, mmengine=None);'
        'from mmsniper.chips import ChipPlanner; print(ChipPlanner)'
    )
    assert (
        'ChipPlanner' in subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    )


def test_no_boxes_give_no_chips():
    chips = ChipPlanner(**RECIPE).positive(np.zeros((0, 4)), (640, 480))
    assert len(chips) == 0
    assert (chips.bboxes.shape, chips.bboxes.dtype) == ((0, 4), np.float32)


def test_one_small_object_gets_a_chip_of_the_finest_scale():
    chips = ChipPlanner(**RECIPE).positive([[300, 200, 320, 220]], (640, 480))
    assert chips.scale_idx.tolist() == [0]
    assert chips.scale.tolist() == [512 / 171]
    x1, y1, x2, y2 = chips.bboxes[0]
    assert (x2 - x1, y2 - y1) == (171, 171)
    # First in row-major order: the topmost, then leftmost window on the 32 / 3 px grid that encloses the box.
    assert (x1, y1) == (149, 53)


def test_objects_of_all_sizes_share_what_chips_they_can():
    boxes = [[10, 10, 30, 30], [40, 40, 60, 70], [100, 100, 200, 200], [50, 50, 400, 400]]
    chips = ChipPlanner(**RECIPE).positive(boxes, (640, 480))
    assert chips.scale_idx.tolist() == [0, 1, 2]
    assert chips.bboxes[2].tolist() == [0, 0, 640, 480]
    assert enclosed(boxes, chips, (640, 480)).tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_chip_is_smaller_only_where_the_image_is():
    chips = ChipPlanner(**RECIPE).positive([[5, 5, 15, 15]], (60, 300))
    assert (chips.bboxes[:, 2:] - chips.bboxes[:, :2]).tolist() == [[60, 171]]


@settings(max_examples=150, deadline=None)
@given(planners(), images(), st.one_of(st.none(), st.integers(0, 100)))
def test_every_usable_object_is_enclosed_where_it_is_valid(planner, image, seed):
    boxes, size = image
    chips = planner.positive(boxes, size, None if seed is None else np.random.default_rng(seed))
    clipped = clip_boxes(boxes, (0, 0, *size))
    usable = ((clipped[:, 2:] - clipped[:, :2]) >= 2).all(1)
    valid = planner.valid(boxes, size)
    inside = enclosed(boxes, chips, size)
    seen = np.array([inside[chips.scale_idx == s].any(0) for s in range(len(planner.scales))])
    assert (seen & valid)[:, usable].any(0).all(), 'an object is lost'
    assert not valid[:, ~usable].any()
    # Not only somewhere: at every scale in whose range it lies and whose chips can hold it.
    _, sides = planner.windows(size)
    hull = np.ceil(clipped[:, 2:]) - np.floor(clipped[:, :2])
    fits = (hull[None] <= np.minimum(sides[:, None, None], size)).all(2)
    assert (seen | ~(valid & fits)).all()


@settings(max_examples=100, deadline=None)
@given(planners(), images(), st.one_of(st.none(), st.integers(0, 100)))
def test_chips_lie_inside_the_image_and_each_earns_its_place(planner, image, seed):
    boxes, size = image
    chips = planner.positive(boxes, size, None if seed is None else np.random.default_rng(seed))
    assert (chips.bboxes[:, :2] >= 0).all()
    assert (chips.bboxes[:, 2:] <= size).all()
    assert (chips.bboxes == np.rint(chips.bboxes)).all()
    _, sides = planner.windows(size)
    extent = chips.bboxes[:, 2:] - chips.bboxes[:, :2]
    assert (extent == np.minimum(sides[chips.scale_idx][:, None], size)).all()
    assert (chips.scale == planner.chip_size / sides[chips.scale_idx]).all()
    valid = planner.valid(boxes, size)
    inside = enclosed(boxes, chips, size)
    for s in range(len(planner.scales)):
        mine = inside[chips.scale_idx == s] & valid[s]
        assert len(mine) <= mine.any(0).sum()


@settings(max_examples=60, deadline=None)
@given(planners(), images())
def test_boxes_round_trip_through_a_chip_within_half_a_pixel(planner, image):
    boxes, size = image
    chips = planner.positive(boxes, size)
    for chip, zoom, inside in zip(chips.bboxes, chips.scale, enclosed(boxes, chips, size), strict=True):
        ours = clip_boxes(boxes[inside], (0, 0, *size))
        network = np.clip(to_chip(ours, chip, zoom), 0, planner.chip_size)
        assert np.abs(to_image(network, chip, zoom) - ours).max(initial=0) < 0.5


def test_same_boxes_same_chips_without_rng_and_other_chips_with_it():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 600, (30, 2))
    boxes, planner = np.concatenate([corner, corner + 20], 1), ChipPlanner(**RECIPE)
    first, again = (planner.positive(boxes, (640, 640)) for _ in range(2))
    assert (first.bboxes == again.bboxes).all()
    drawn = {planner.positive(boxes, (640, 640), np.random.default_rng(seed)).bboxes.tobytes() for seed in range(20)}
    assert len(drawn) == 20
    seeded = [planner.positive(boxes, (640, 640), np.random.default_rng(3)).bboxes for _ in range(2)]
    assert (seeded[0] == seeded[1]).all()


def test_compiled_planning_equals_the_interpreted():
    rng = np.random.default_rng(1)
    boxes, planner = rng.uniform(0, 500, (40, 4)), ChipPlanner(**RECIPE)
    boxes = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    recipe = *planner.windows((600, 500)), planner.valid_ranges, planner.stride
    for seed in (-1, 5):
        compiled = positive_chips(boxes, 600, 500, *recipe, seed)
        plain = positive_chips.py_func(boxes, 600, 500, *recipe, seed)
        assert all((a == b).all() for a, b in zip(compiled, plain, strict=True))
        args = (boxes, 600, 500, 600, 8.0, 1, seed)
        assert (_cover(*args) == _cover.py_func(*args)).all()


def test_random_chips_cover_every_scale_and_stay_inside():
    planner, size = ChipPlanner(**RECIPE), (700, 200)
    chips = planner.random(size, 300, np.random.default_rng(0))
    assert set(chips.scale_idx.tolist()) == {0, 1, 2}
    assert (chips.bboxes[:, :2] >= 0).all()
    assert (chips.bboxes[:, 2:] <= size).all()
    assert len(np.unique(chips.bboxes[chips.scale_idx == 0], axis=0)) > 50
    assert len(planner.random(size, 0, np.random.default_rng(0))) == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'chip_size': 0}, 'chip_size'),
        ({'chip_size': 512.5}, 'chip_size'),
        ({'stride': 513}, r'stride must be in \(0, chip_size=512\]'),
        ({'stride': 0}, 'stride'),
        ({'stride': '32'}, 'stride'),
        ({'stride': True}, 'stride'),
        ({'valid_ranges': [(None, 80)]}, '3 scales but 1 valid_ranges'),
        ({'scales': [3.0, '1.6', 1.0]}, r"scales\[1\] is '1.6'"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ChipPlanner(**{**RECIPE, **change})


@pytest.mark.parametrize('size', [(0, 5), (5, -1), (640.5, 480), (float('nan'), 5)])
def test_bad_image_sizes_are_named(size):
    with pytest.raises(ValueError, match='image_size'):
        ChipPlanner(**RECIPE).positive([[0, 0, 3, 3]], size)


def test_repr_rebuilds_the_planner():
    from math import inf  # noqa: F401  repr writes open ends as 0 and inf

    planner = ChipPlanner(**RECIPE)
    assert repr(eval(repr(planner))) == repr(planner)
