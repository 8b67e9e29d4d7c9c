import pickle

import numpy as np
import pytest

from mmsniper.chips import BoxTable, ChipKind, ChipPlan, ChipPlanner, Chips, ChipTable

PLANNER = ChipPlanner([2.0, (128, 128)], [(None, 60), (40, None)], chip_size=128, stride=16)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)

    def boxes(n):
        corner = rng.uniform(0, 250, (n, 2))
        return np.concatenate([corner, corner + rng.uniform(5, 100, (n, 2))], 1)

    return BoxTable.build([(boxes(5), (400, 300)), (np.zeros((0, 4)), (200, 100)), (boxes(8), (300, 400))])


def test_table_gives_back_each_image(table):
    assert len(table) == 3
    assert [len(table.image(i)[0]) for i in range(3)] == [5, 0, 8]
    assert table.image(1)[1] == (200, 100)
    assert len(BoxTable.build([])) == 0


def test_plan_is_a_pure_function_of_seed_and_epoch(table):
    def draw(seed, epoch):
        plan = ChipPlan.draw(PLANNER, table, seed, epoch, 1)
        return [plan.key(n) for n in range(len(plan))]

    assert draw(3, 5) == draw(3, 5)
    assert draw(3, 5) != draw(3, 6)
    assert draw(3, 5) != draw(4, 5)


@pytest.mark.parametrize('empty_chips', [0, 1, 3])
def test_images_without_objects_get_background_chips(table, empty_chips):
    plan = ChipPlan.draw(PLANNER, table, 0, 0, empty_chips)
    assert (plan.image_idx == 1).sum() == empty_chips
    assert (np.diff(plan.image_idx) >= 0).all()


def test_keys_are_plain_and_travel(table):
    plan = ChipPlan.draw(PLANNER, table, 0, 0, 1)
    key = plan.key(0)
    assert pickle.loads(pickle.dumps(key)) == key
    assert all(type(v) is int for v in (key.image_idx, *key.bbox, key.scale_idx, key.seed, key.kind))
    assert len({plan.key(n).seed for n in range(len(plan))}) == len(plan)


def chips(n):
    return Chips(np.float32([[i, 0, i + 64, 64] for i in range(n)]).reshape(-1, 4), np.zeros(n, int), np.full(n, 2.0))


@pytest.fixture
def pools():
    """Five negative chips for the first image, none for the second, one for the third."""
    return ChipTable.build([chips(5), chips(0), chips(1)])


def drawn(plan, image):
    """Left edges of an image's negative chips in a plan."""
    rows = (plan.image_idx == image) & (plan.kind == ChipKind.NEGATIVE)
    return plan.chips.bboxes[rows, 0].tolist()


def test_negative_chips_are_drawn_without_replacement_as_far_as_they_go(table, pools):
    epochs = [ChipPlan.draw(PLANNER, table, 0, epoch, 1, pools, 3) for epoch in range(20)]
    assert all(len(set(drawn(plan, 0))) == 3 for plan in epochs)
    assert {left for plan in epochs for left in drawn(plan, 0)} == {0, 1, 2, 3, 4}
    assert len({tuple(drawn(plan, 0)) for plan in epochs}) > 10
    assert all(drawn(plan, 2) == [0] for plan in epochs)
    assert all((np.diff(plan.image_idx) >= 0).all() for plan in epochs)


def test_plans_with_negative_chips_are_pure_too(table, pools):
    def draw(seed, epoch):
        plan = ChipPlan.draw(PLANNER, table, seed, epoch, 1, pools, 2)
        return [plan.key(n) for n in range(len(plan))]

    assert draw(3, 5) == draw(3, 5)
    assert draw(3, 5) != draw(3, 6)


def test_an_image_without_objects_gets_random_chips_only_if_it_has_no_negative_ones(table, pools):
    kinds = ChipPlan.draw(PLANNER, table, 0, 0, 3, pools, 2)
    assert kinds.kind[kinds.image_idx == 1].tolist() == [ChipKind.RANDOM] * 3
    other = ChipTable.build([chips(0), chips(5), chips(0)])
    kinds = ChipPlan.draw(PLANNER, table, 0, 0, 3, other, 2)
    assert kinds.kind[kinds.image_idx == 1].tolist() == [ChipKind.NEGATIVE] * 2
    assert set(kinds.kind[kinds.image_idx != 1].tolist()) == {ChipKind.POSITIVE}


def test_kinds_travel_with_the_keys(table, pools):
    plan = ChipPlan.draw(PLANNER, table, 0, 0, 1, pools, 2)
    assert plan.kind.dtype == np.uint8
    assert [plan.key(n).kind for n in range(len(plan))] == plan.kind.tolist()
    assert np.bincount(plan.kind).tolist() == [len(plan) - 4, 3, 1]


def test_without_a_pool_nothing_is_negative(table):
    plan = ChipPlan.draw(PLANNER, table, 0, 0, 1)
    assert set(plan.kind.tolist()) == {ChipKind.POSITIVE, ChipKind.RANDOM}
