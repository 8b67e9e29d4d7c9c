"""Scales and ranges against the objects."""

import numpy as np
import pytest
from checked import check, only, said, written

from mmsniper.checks.ranges import check_labels, check_order
from mmsniper.chips import BoxTable, ChipPlan, ChipPlanner, PlanLabels, PyramidPlanner


def table(*sides, size=(800, 600)):
    """One image per object, a square in its middle."""
    middle = np.array([*size, *size]) / 2
    return BoxTable.build([(middle + np.array([-1, -1, 1, 1]) * side / 2, size) for side in sides])


def warnings(planner, boxes):
    plan = ChipPlan.draw(planner, boxes, 0, 0, 1)
    labels = PlanLabels.of_plan(planner, boxes, plan)
    return [
        finding for finding in check_labels(planner, boxes, labels, plan.chips.scale_idx) if finding.level != 'note'
    ]


RANGES = [(None, 80), (32, 150), (120, None)]
ORDERS = {
    'right': ([3.0, 1.667, (512, 512)], RANGES, False),
    'scales reversed': ([(512, 512), 1.667, 3.0], RANGES, True),
    'ranges reversed': ([3.0, 1.667, (512, 512)], RANGES[::-1], True),
    'two swapped': ([1.667, 3.0, (512, 512)], RANGES, True),
    'both reversed': ([(512, 512), 1.667, 3.0], RANGES[::-1], False),
    'all at every scale': ([3.0, 1.0], [(None, None)] * 2, False),
    'nested': ([2.0, 1.0], [(20, 100), (None, None)], False),
}


@pytest.mark.parametrize('name', ORDERS)
def test_small_objects_are_shown_large(name):
    scales, ranges, wrong = ORDERS[name]
    planner = ChipPlanner(scales, ranges) if scales[0] != 3.0 or not wrong else PyramidPlanner(scales, ranges)
    findings = list(check_order(planner, table(20, 300)))
    assert len(findings) == wrong
    if wrong:
        assert f'scales=[3.0, 1.667, (512, 512)], valid_ranges={RANGES}' in findings[0].write


def test_lines_for_the_order_mend_it(tiny_cfg, tmp_path):
    tiny_cfg.train_dataloader.dataset.planner.scales = [1.0, 2.0, (128, 128)]
    finding = next(one for one in said(check(tiny_cfg), 'ranges', 'warning') if 'wrong order' in one.what)
    mended = written(tiny_cfg, finding.write, tmp_path / 'mended')
    assert not said(check(mended), 'ranges', 'warning')


def test_what_is_said_of_objects():
    planner = ChipPlanner([2.0, 0.5], [(None, 100), (80, None)])
    assert warnings(planner, table(20, 90, 300)) == []
    tiny, unused = sorted(warnings(planner, table(4, 5, 40)), key=lambda finding: 'never' not in finding.what)
    assert '67% of the objects are never shown larger than 12 px' in tiny.what
    assert 'no object is taught at scale 0.5 with the range [80, inf)' in unused.what
    (huge,) = warnings(ChipPlanner([2.0], [(None, None)]), table(230, 240, 20))
    assert '67% of the objects are never shown smaller than 80% of the chip' in huge.what
    lost = warnings(ChipPlanner([2.0], [(None, None)]), table(20, 20, 20, 20, 20, 400))[0]
    assert '1 of 6 objects are valid in no chip, 1 of them larger than a chip' in lost.what


def test_whole_images_have_no_ranges(tiny_cfg):
    dataset = tiny_cfg.train_dataloader.dataset
    plain = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
    tiny_cfg.train_dataloader.dataset = dict(dataset.dataset, pipeline=plain)
    tiny_cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    tiny_cfg.train_dataloader.batch_sampler = None
    findings = check(tiny_cfg)
    assert 'does not apply' in only(findings, 'ranges', 'note').what
    assert 'the data are no chips' in only(findings, 'valid ranges', 'error').what
