"""What is suggested for the extremes that users have."""

import numpy as np
import pytest

from mmsniper.chips import BoxTable
from mmsniper.suggest import suggest
from mmsniper.suggest import suggestion as module
from mmsniper.suggest.advice import advice
from mmsniper.suggest.candidates import candidates
from mmsniper.suggest.fingerprint import object_sizes
from mmsniper.suggest.report import as_dict, report

BUDGETS = 0.02, 0.1, 0.14, 0.2, 0.3, 0.5, 1, 2


def zooms(found, size):
    return found.planner.windows(size)[0]


def test_tiny_objects_in_large_images_are_enlarged(make, r50):
    data = make('tiny in large images')
    found = suggest(data, r50)
    assert zooms(found, (4000, 3000)).max() >= 3
    assert np.nanmedian(found.score.sizes) > 32  # of 11 px
    assert found.score.seen == pytest.approx(1)
    assert found.helps
    assert found.usual.comfortable == 0
    # No budget of 1.5 shows them at all; that is said.
    assert found.over_budget
    assert found.score.pixels > 1.5
    said = ' '.join(advice(data, r50, found))
    assert 'No plan within the budget' in said
    assert 'If the detector fires there' in said


def test_large_objects_are_reduced_and_need_no_chips(make, r50):
    data = make('large only')
    found = suggest(data, r50)
    assert len(found.planner.scales) == 1
    assert zooms(found, (4000, 3000))[0] < 0.2
    assert found.score.pixels < 0.5
    assert not found.helps
    assert advice(data, r50, found)[0].startswith('SNIPER will not help here: whole images at one scale')


def test_one_size_is_one_scale(make, r50):
    found = suggest(make('one size'), r50)
    assert len(found.planner.scales) == 1
    assert not found.helps


def test_every_size_takes_several_scales(make, demo):
    found = suggest(make('log-uniform'), demo)
    assert len(found.planner.scales) >= 3
    factors = zooms(found, (1600, 1200))
    assert factors.max() >= 2
    assert 800 * factors.min() <= 256
    assert found.score.seen == pytest.approx(1)
    assert found.score.comfortable > 0.97
    assert found.helps
    assert found.score.pixels < 1.5


def test_more_budget_is_never_cheaper(make, demo):
    data = make('log-uniform')
    found = [suggest(data, demo, budget=budget) for budget in BUDGETS]
    assert len({each.planner.settings['scales'][0] for each in found}) > 1
    pixels = [each.score.pixels for each in found]
    assert pixels == sorted(pixels)
    assert all(each.over_budget or each.score.pixels <= budget for each, budget in zip(found, BUDGETS, strict=True))


def test_the_budget_holds_where_it_can(make, demo):
    data = make('log-uniform')
    held, broken = suggest(data, demo, budget=0.2), suggest(data, demo, budget=0.01)
    assert not held.over_budget
    assert held.score.pixels <= 0.2
    assert broken.over_budget
    assert broken.score.pixels <= held.score.pixels


def test_mixed_resolutions(make, demo):
    found = suggest(make('mixed resolutions'), demo)
    assert found.score.seen == pytest.approx(1)
    assert found.score.comfortable > 0.95


def test_huge_images(make, r50):
    data = make('5 to 20 px in 12,000 px')
    found = suggest(data, r50)
    assert zooms(found, (12000, 12000)).max() >= 3
    said = ' '.join(advice(data, r50, found))
    assert '144 megapixels: keep them as tiled TIFF' in said
    assert 'and so does each validation' in said


def test_ranges_meet_and_a_test_is_wider(make, demo):
    found = suggest(make('log-uniform'), demo)
    ranges = found.planner.valid_ranges
    assert (ranges[1:, 0] < ranges[:-1, 1]).all()
    for (low, high), (test_low, test_high) in zip(ranges, found.test_ranges, strict=True):
        assert test_low == pytest.approx(low / 1.2)
        assert test_high == pytest.approx(high * 1.2)


def test_no_scale_is_without_objects(make, demo):
    """A coarsest scale for objects larger than any was suggested for drone images: a third scale without a chip."""
    for kind in ('one size', 'large only', 'log-uniform'):
        data = make(kind)
        smallest, largest = np.quantile(object_sizes(data.table), [0, 1])
        planners = list(candidates(data.table, demo))
        assert {len(planner.scales) for planner in planners} >= ({1, 2} if kind == 'log-uniform' else {1})
        assert all(planner.valid_ranges[0, 1] > smallest for planner in planners), kind
        assert all(planner.valid_ranges[-1, 0] <= largest for planner in planners), kind


def test_many_images_are_sampled_and_that_is_said(make, demo, monkeypatch):
    monkeypatch.setattr(module, 'FEW_IMAGES', 10)
    monkeypatch.setattr(module, 'MANY_IMAGES', 20)
    monkeypatch.setattr(module, 'LEAST_OBJECTS', 30)
    data = make('one size')
    found = suggest(data, demo)
    assert len(found.sample) == 20
    assert 'of 20 images drawn from 40' in ' '.join(report(data, demo, found, []).split())
    again = suggest(data, demo)
    assert again.planner.settings == found.planner.settings
    assert as_dict(data, demo, again) == as_dict(data, demo, found)


def test_few_annotated_images_among_many_are_found():
    """A thousand images, the last of which alone has objects."""
    boxes = np.tile([[10.0, 10, 60, 60]], (400, 1))
    table = BoxTable.build([([], (640, 480))] * 999 + [(boxes, (640, 480))])
    rows = module.sample(table, 10)
    assert 999 in rows and len(np.unique(rows)) == len(rows) <= 1000
    plain = BoxTable.build([(boxes, (640, 480))] * 50)
    assert len(module.sample(plain, 10)) == 10


def test_the_report_is_narrow_and_complete(make, demo):
    data = make('log-uniform')
    text = report(data, demo, suggest(data, demo), ['A note.'])
    assert max(map(len, text.splitlines())) <= 100
    for part in ('DATA', 'PLAN', 'WHY', 'NOTE', 'A note.', 'learning rate', '<- suggested'):
        assert part in text
    assert 'thing 320, other 0' in text
    assert 'No object of 1 of the 2 classes: other.' in text
