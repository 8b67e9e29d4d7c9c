import numpy as np
import pytest

from mmsniper.chips import (
    IGNORED,
    INVALID,
    VALID,
    BoxTable,
    ChipPlan,
    ChipPlanner,
    PlanLabels,
    PyramidPlanner,
)
from mmsniper.chips.labels import assign_best_chips
from mmsniper.datasets.transforms.flags import split_flags

PLANNER = ChipPlanner([2.0, (128, 128)], [(None, 60), (40, None)], chip_size=128, stride=16)


def random_table(n_boxes):
    rng = np.random.default_rng(n_boxes)
    sizes = [(400, 300), (200, 100), (300, 400)]
    corners = [rng.uniform(-10, 280, (n, 2)) for n in (n_boxes, 0, 2 * n_boxes)]
    boxes = [np.concatenate([corner, corner + rng.uniform(0, 150, (len(corner), 2))], 1) for corner in corners]
    return BoxTable.build(zip(boxes, sizes, strict=True))


def test_nothing_is_shown_of_nothing():
    table = BoxTable.build([(np.zeros((0, 4)), (200, 100))])
    labels = PlanLabels.of_plan(PLANNER, table, ChipPlan.draw(PLANNER, table, 0, 0, 2))
    assert len(labels.chip) == len(labels.box) == len(labels.times_valid) == 0


@pytest.mark.parametrize('planner', [PLANNER, PyramidPlanner([1.5, 0.5], [(None, 60), (40, None)])])
@pytest.mark.parametrize('n_boxes', [3, 40, 300])
@pytest.mark.parametrize('best_chip', [False, True])
def test_labels_are_those_that_chip_sampler_gives(planner, n_boxes, best_chip):
    from mmsniper.datasets import ChipSampler

    table = random_table(n_boxes)
    plan = ChipPlan.draw(planner, table, 0, 0, 1)
    if best_chip:
        plan = assign_best_chips(planner, table, plan, min_visible=0.6, min_side=5)
    labels = PlanLabels.of_plan(planner, table, plan, min_visible=0.6, min_side=5)
    sampler = ChipSampler(min_visible=0.6, min_side=5)
    for n in range(0, len(plan), 1 + len(plan) // 50):
        boxes, (width, height) = table.image(plan.image_idx[n])
        results = dict(
            img=np.zeros((height, width, 3), np.uint8),
            width=width,
            height=height,
            gt_bboxes=boxes,
            gt_bboxes_labels=np.arange(len(boxes)),
            gt_ignore_flags=np.zeros(len(boxes), int),
            chip=plan.chips.bboxes[n],
            chip_scale=plan.chips.scale[n],
            scale_idx=plan.chips.scale_idx[n],
            chip_planner=planner,
            elsewhere=plan.key(n).elsewhere,
        )
        cut = sampler.transform(results)
        mine = labels.chip == n
        assert (labels.box[mine] - table.start[plan.image_idx[n]]).tolist() == cut['gt_bboxes_labels'].tolist()
        assert labels.label[mine].tolist() == split_flags(cut['gt_ignore_flags']).kinds.tolist()


def test_sizes_and_shares_are_of_the_whole_object():
    table = BoxTable.build([([[10, 10, 40, 50], [50, 20, 80, 50], [62, 0, 64, 100]], (300, 300))])
    plan = ChipPlan.draw(PLANNER, table, 0, 0, 0)
    chip = np.array([[0, 0, 64, 64]], np.float32)
    one = ChipPlan(
        plan.image_idx[:1], type(plan.chips)(chip, np.array([0]), np.array([2.0])), plan.seeds[:1], plan.kind[:1]
    )
    labels = PlanLabels.of_plan(PLANNER, table, one)
    assert labels.visible == pytest.approx([1, 14 / 30, 0.64])
    assert labels.size == pytest.approx([2 * 1200**0.5, 60, 2 * 200**0.5])
    assert labels.label.tolist() == [VALID, INVALID, VALID]
    assert labels.times_valid.tolist() == [1, 0, 1]
    stricter = PlanLabels.of_plan(PLANNER, table, one, min_visible=0.7, min_side=5)
    assert stricter.label.tolist() == [VALID, INVALID, IGNORED]


def test_every_object_that_a_chip_holds_is_valid_at_least_once():
    table = random_table(200)
    plan = ChipPlan.draw(PLANNER, table, 3, 0, 1)
    labels = PlanLabels.of_plan(PLANNER, table, plan)
    unusable, unreachable = table.count_unlearnt(PLANNER)
    assert (labels.times_valid == 0).sum() == unusable + unreachable > 0


def test_the_best_chip_alone_teaches_an_object_at_a_scale():
    table = random_table(300)
    plan = ChipPlan.draw(PLANNER, table, 3, 0, 1)
    every = PlanLabels.of_plan(PLANNER, table, plan)
    best = PlanLabels.of_plan(PLANNER, table, assign_best_chips(PLANNER, table, plan))
    assert best.label.tolist() != every.label.tolist()
    assert (best.times_valid > 0).tolist() == (every.times_valid > 0).tolist(), 'none is lost'
    group = every.box * len(PLANNER.scales) + plan.chips.scale_idx[every.chip]
    for one in np.unique(group[every.label == VALID]):
        mine = group == one
        (taught,) = np.flatnonzero(mine & (best.label == VALID))
        assert best.visible[taught] == every.visible[mine & (every.label == VALID)].max()
    unchanged = every.label != VALID
    assert best.label[unchanged].tolist() == every.label[unchanged].tolist()
