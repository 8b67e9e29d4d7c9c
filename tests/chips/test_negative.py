import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import images, planners

from mmsniper.chips import ChipPlanner, box_sizes, clip_boxes
from mmsniper.chips.cover import ROW_MAJOR, window_origins
from mmsniper.chips.selection import negative_chips

RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])
PLANNER = ChipPlanner(**RECIPE)
SIZE = (640, 480)
LEAST = [26, 11, 11]
OBJECT = [[300, 200, 320, 220]]  # its positive chip, 171 px wide, is (149, 53, 320, 224)


def cluster(n, x, y, side, spread=40):
    """(n, 4) boxes of one size around a place."""
    corner = np.random.default_rng(0).uniform(-spread / 2, spread / 2, (n, 2)) + [x - side / 2, y - side / 2]
    return np.concatenate([corner, corner + side], 1)


def negative(proposals, objects=(), least=LEAST, rng=None):
    return PLANNER.negative(proposals, SIZE, PLANNER.positive(objects, SIZE), least, rng)


def test_no_proposals_give_no_chips():
    chips = negative([], OBJECT)
    assert len(chips) == 0
    assert (chips.bboxes.shape, chips.bboxes.dtype) == ((0, 4), np.float32)
    assert len(negative([])) == 0


def test_a_region_full_of_false_proposals_becomes_a_negative_chip():
    proposals = cluster(30, 500, 400, 20)
    chips = negative(proposals, OBJECT)
    assert chips.scale_idx.tolist() == [0]
    assert chips.scale.tolist() == [512 / 171]
    assert (chips.bboxes[0, 2:] - chips.bboxes[0, :2]).tolist() == [171, 171]
    assert (chips.bboxes[0, :2] <= proposals.min(0)[:2]).all()
    assert (chips.bboxes[0, 2:] >= proposals.max(0)[2:]).all()


def test_a_region_that_positive_chips_cover_does_not():
    proposals = cluster(30, 240, 140, 20)
    assert len(negative(proposals)) == 1
    assert len(negative(proposals, OBJECT)) == 0


def test_a_positive_chip_of_another_scale_covers_nothing():
    # The chip of the large object is the whole image, at the coarsest scale.
    assert negative(cluster(30, 500, 400, 20), [[10, 10, 600, 460]]).scale_idx.tolist() == [0]


@pytest.mark.parametrize(('x1', 'left_over'), [(310, 0), (310.25, 1)])
def test_half_of_the_area_inside_is_covered(x1, left_over):
    assert len(negative([[x1, 100, x1 + 20, 120]], OBJECT, least=1)) == left_over


def test_thresholds_are_per_scale():
    proposals = cluster(12, 500, 400, 50)  # valid at the finest two scales
    assert negative(proposals).scale_idx.tolist() == [1]
    assert negative(proposals, least=[12, 13, 1]).scale_idx.tolist() == [0]
    assert negative(proposals, least=12).scale_idx.tolist() == [0, 1]
    assert len(negative(proposals, least=13)) == 0


def test_only_proposals_the_scale_can_teach_count():
    slivers = cluster(30, 500, 400, 20)
    slivers[:, 3] = slivers[:, 1] + 1.9
    outside = cluster(30, 700, 400, 20, spread=10)
    too_long = cluster(30, 320, 240, 8)  # sqrt(area) 37: in the finest scale's range, but wider than its chip
    too_long[:, [0, 2]] = [200, 380]
    assert len(negative(slivers, least=1)) == len(negative(outside, least=1)) == 0
    assert set(negative(too_long, least=1).scale_idx.tolist()) == {1}


def test_a_chip_must_newly_cover_enough():
    # Two places 160 px apart: the first chip holds one of them whole, and the second one has too few of its own.
    proposals = np.concatenate([cluster(30, 200, 200, 20), cluster(20, 420, 200, 20)])
    assert len(negative(proposals)) == 1
    assert len(negative(proposals, least=20)) == 2


def test_uncovered_names_the_proposals_that_count_at_each_scale():
    positives = PLANNER.positive(OBJECT, SIZE)  # one chip, of the finest scale
    proposals = [
        [500, 400, 520, 420],  # only the finest scale takes its size
        [240, 140, 260, 160],  # so here, but inside the positive chip
        [240, 140, 290, 190],  # inside it, too, but valid at the middle scale as well
        [600, 400, 700, 500],  # 40 x 80 px of it are in the image: the finest two scales
        [10, 10, 600, 460],  # only the coarsest
        [10, 10, 11, 400],  # a sliver
    ]
    expected = [[1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]]
    counts = PLANNER.uncovered(proposals, SIZE, positives)
    assert counts.dtype == bool
    assert counts.astype(int).tolist() == expected
    assert PLANNER.uncovered([], SIZE, positives).shape == (3, 0)
    with pytest.raises(ValueError, match='box 0 is'):
        PLANNER.uncovered([[0, 0, np.inf, 5]], SIZE, positives)


def plain_uncovered(planner, proposals, size, positives):
    """(S, P) bool, by whole arrays."""
    boxes = clip_boxes(proposals, (0, 0, *size))
    sides_px = boxes[:, 2:] - boxes[:, :2]
    counts = np.zeros((len(planner.scales), len(boxes)), bool)
    for s, (low, high) in enumerate(planner.valid_ranges):
        chips = positives.bboxes[positives.scale_idx == s].astype(float)
        overlap = np.minimum(boxes[:, None, 2:], chips[:, 2:]) - np.maximum(boxes[:, None, :2], chips[:, :2])
        covered = (overlap.clip(0).prod(2) >= 0.5 * sides_px.prod(1)[:, None]).any(1)
        hull = np.ceil(boxes[:, 2:]) - np.floor(boxes[:, :2])
        wanted = (sides_px >= 2).all(1) & (box_sizes(boxes) >= low) & (box_sizes(boxes) < high)
        counts[s] = wanted & (hull <= planner.windows(size)[1][s]).all(1) & ~covered
    return counts


def plain_negative(planner, proposals, size, counts, least):
    """Every window of the grid against every proposal; the fullest first. (bboxes, scale_idx)"""
    boxes = clip_boxes(proposals, (0, 0, *size))
    factors, sides = planner.windows(size)
    found, scale_idx = [], []
    for s in range(len(sides)):
        left = boxes[counts[s]]
        step, extent = planner.stride / factors[s], np.minimum(sides[s], size)
        if not len(left):
            continue
        x, y = (
            window_origins.py_func(left[:, a], left[:, a + 2], size[a], sides[s], step, ROW_MAJOR) for a in range(2)
        )
        corner = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], 1)
        windows = np.concatenate([corner, corner + extent], 1)
        encloses = (windows[:, None, :2] <= left[:, :2]).all(2) & (windows[:, None, 2:] >= left[:, 2:]).all(2)
        while encloses.sum(1).max() >= least[s]:
            best = encloses.sum(1).argmax()
            found.append(windows[best])
            scale_idx.append(s)
            encloses &= ~encloses[best]
    return np.array(found).reshape(-1, 4), scale_idx


@settings(max_examples=150, deadline=None)
@given(planners(), images(max_boxes=5), st.integers(0, 80), st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_negative_chips_equal_the_plain_algorithm(planner, image, n, seed, least):
    boxes, size = image
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(1), np.log(np.maximum(size, 2)), (n, 2)))
    corner = rng.uniform(-0.1, 0.9, (n, 2)) * size
    proposals = np.concatenate([corner, corner + sides], 1)
    positives = planner.positive(boxes, size)
    chips = planner.negative(proposals, size, positives, least)
    counts = plain_uncovered(planner, proposals, size, positives)
    assert (planner.uncovered(proposals, size, positives) == counts).all()
    expected, scale_idx = plain_negative(planner, proposals, size, counts, [least] * len(planner.scales))
    assert chips.bboxes.tolist() == expected.tolist()
    assert chips.scale_idx.tolist() == scale_idx
    assert (chips.scale == planner.chip_size / planner.windows(size)[1][chips.scale_idx]).all()

    # With another grid and other ties, too, each lies inside the image and holds enough that no positive chip does.
    drawn = planner.negative(proposals, size, positives, least, rng)
    assert (drawn.bboxes[:, :2] >= 0).all()
    assert (drawn.bboxes[:, 2:] <= size).all()
    clipped = clip_boxes(proposals, (0, 0, *size))
    big_enough = ((clipped[:, 2:] - clipped[:, :2]) >= 2).all(1)
    for chip, s in zip(drawn.bboxes, drawn.scale_idx, strict=True):
        mine = positives.bboxes[positives.scale_idx == s]
        overlap = np.minimum(clipped[:, None, 2:], mine[:, 2:]) - np.maximum(clipped[:, None, :2], mine[:, :2])
        seen = (overlap.clip(0).prod(2) >= 0.5 * (box_sizes(clipped) ** 2)[:, None] + 1e-6).any(1)
        low, high = planner.valid_ranges[s]
        held = (chip[:2] <= clipped[:, :2]).all(1) & (chip[2:] >= clipped[:, 2:]).all(1)
        valid = big_enough & (box_sizes(clipped) >= low) & (box_sizes(clipped) < high)
        assert (held & valid & ~seen).sum() >= least


def test_same_proposals_same_chips_without_rng_and_other_chips_with_it():
    proposals = cluster(30, 400, 300, 20)
    assert (negative(proposals).bboxes == negative(proposals).bboxes).all()
    drawn = {negative(proposals, rng=np.random.default_rng(seed)).bboxes.tobytes() for seed in range(20)}
    assert len(drawn) > 15


def test_compiled_mining_equals_the_interpreted():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 500, (200, 2))
    proposals = np.concatenate([corner, corner + rng.uniform(1, 90, (200, 2))], 1)
    positives = PLANNER.positive(proposals[:4], (600, 500))
    args = (proposals, positives.bboxes.astype(float), positives.scale_idx, np.array([5, 4, 3]), 600, 500)
    args += (*PLANNER.windows((600, 500)), PLANNER.valid_ranges, PLANNER.stride)
    for seed in (-1, 5):
        compiled = negative_chips(*args, seed)
        plain = negative_chips.py_func(*args, seed)
        assert len(compiled[0]) > 3
        assert all((a == b).all() for a, b in zip(compiled, plain, strict=True))


@pytest.mark.parametrize(
    ('least', 'message'),
    [
        (0, 'whole numbers >= 1; got 0'),
        (True, 'whole numbers >= 1; got True'),
        ([26, 11, 0], 'whole numbers >= 1'),
        ([26, 11, 1.5], 'whole numbers >= 1'),
        ([26, 11], r'3 scales but 2 min_proposals: give one number for all or one per scale'),
    ],
)
def test_bad_thresholds_are_named(least, message):
    with pytest.raises(ValueError, match=message):
        negative([], least=least)


def test_broken_proposals_are_named():
    with pytest.raises(ValueError, match='box 1 is'):
        negative([[0, 0, 5, 5], [0, 0, float('nan'), 5]])
