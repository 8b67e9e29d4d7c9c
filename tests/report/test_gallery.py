import base64

import cv2
import numpy as np
import pytest

from mmsniper.chips import BoxTable, ChipPlan, ChipPlanner
from mmsniper.datasets import ChipDataset
from mmsniper.report import gallery, panels_of_image
from mmsniper.report.gallery import choose, fair_shares, in_words

MANY = 10**7


@pytest.fixture
def dataset(write_coco, some_images, planner_cfg, pipeline):
    return ChipDataset(write_coco(some_images), planner_cfg, pipeline, empty_chips=3)


def picture(source):
    head, data = source.split(',')
    assert head == 'data:image/jpeg;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_pictures_are_of_the_size_that_is_said(dataset):
    shown = gallery(dataset, dataset, dataset.plan(0), 5, MANY)
    assert len(shown['chips']) == 5
    assert (shown['of'], shown['too_large']) == (len(dataset.plan(0)), 0)
    for chip in shown['chips']:
        assert picture(chip['source']).shape == (chip['height'], chip['width'], 3) == (128, 128, 3)
        assert chip['title'].startswith(('scale 2 (zoom 2.00)', 'scale 1 (zoom 1.00)', 'scale 128 x 128 (zoom 0.'))
        assert chip['image'] in ('0.png', '1.png', '2.png', '3.png')


def test_every_scale_and_kind_is_shown(dataset):
    plan = dataset.plan(0)
    groups = set(zip(plan.chips.scale_idx.tolist(), plan.kind.tolist(), strict=True))
    rows = choose(plan, 3, len(groups))
    assert set(zip(plan.chips.scale_idx[rows].tolist(), plan.kind[rows].tolist(), strict=True)) == groups
    assert (np.diff(plan.chips.scale_idx[rows]) >= 0).all()
    assert sorted(choose(plan, 3, MANY).tolist()) == list(range(len(plan)))
    assert len(choose(plan, 3, 0)) == 0


def test_what_is_shown_comes_from_everywhere():
    planner = ChipPlanner([2.0, 1.0], [(None, 40), (30, None)], chip_size=128)
    table = BoxTable.build([(np.array([[5, 5, 40, 40]]), (100, 100))] * 90)
    plan = ChipPlan.draw(planner, table, 0, 0, 1)
    rows = choose(plan, 2, 6)
    assert plan.image_idx[rows].tolist() == [0, 44, 89] * 2
    assert plan.chips.scale_idx[rows].tolist() == [0] * 3 + [1] * 3


@pytest.mark.parametrize(
    ('sizes', 'most', 'expected'),
    [([], 5, []), ([0, 3], 2, [0, 2]), ([9, 1, 0, 9], 7, [3, 1, 0, 3]), ([2, 2], 9, [2, 2]), ([5, 5, 5], 2, [0, 1, 1])],
)
def test_shares_are_fair(sizes, most, expected):
    assert fair_shares(sizes, most) == expected


def test_all_together_are_no_larger_than_asked(dataset):
    plan = dataset.plan(0)
    sizes = [len(chip['source']) for chip in gallery(dataset, dataset, plan, 6, MANY)['chips']]
    shown = gallery(dataset, dataset, plan, 6, sum(sizes[:4]))
    assert (len(shown['chips']), shown['too_large']) == (4, 2)
    assert gallery(dataset, dataset, plan, 0, MANY) == dict(chips=[], of=len(plan), too_large=0)


def test_words_say_what_is_drawn(dataset):
    plan = dataset.plan(0)
    for n in range(len(plan)):
        sample = dataset[plan.key(n)]['data_samples']
        said = in_words(sample, ('thing', 'other'))
        names = [('thing', 'other')[label] for label in sample.gt_instances.labels[sample.gt_instances.valid].tolist()]
        assert (said.startswith('valid: none')) == (not names)
        assert all((f'{names.count(name)} x {name}' if names.count(name) > 1 else name) in said for name in names)
        n_invalid = int((~sample.gt_instances.valid).sum())
        assert (f'; {n_invalid} invalid' in said) == (n_invalid > 0)


def test_an_image_has_a_panel_per_scale(dataset):
    plan = dataset.plan(0)
    panels = panels_of_image(dataset, plan, 0)
    assert panels['n_chips'] == (plan.image_idx == 0).sum()
    assert panels['image'] == '0.png'
    assert [picture(source).shape[1] for source in panels['sources']] == [644] * 3
