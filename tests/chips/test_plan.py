import pickle

import numpy as np
import pytest

from mmsniper.chips import BoxTable, ChipPlan, ChipPlanner

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
    assert all(type(v) is int for v in (key.image_idx, *key.bbox, key.scale_idx, key.seed))
    assert len({plan.key(n).seed for n in range(len(plan))}) == len(plan)
