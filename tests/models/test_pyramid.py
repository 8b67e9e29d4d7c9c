"""The test pyramid follows from the planner; one that was given and does not fit is said."""

import math
import re

import pytest
import torch
from mmengine.config import Config

from mmsniper.models import MultiScaleChipTTA
from mmsniper.models.pyramid import find_planner

PLANNER = dict(scales=[2.0, 1.0], valid_ranges=[(None, 60), (40, None)], chip_size=256, stride=32)
WARNED = "tta_cfg's scales and ranges do not fit the planner"


@pytest.fixture
def image(packed):
    return packed(torch.zeros(3, 240, 320, dtype=torch.uint8))


def test_scales_and_ranges_follow_from_the_planner(oracle, image, messages):
    tta = MultiScaleChipTTA(oracle())
    tta.follow(PLANNER)
    assert tta.scales == (2.0, 1.0)
    assert tta.ranges == [[0.0, 72.0], pytest.approx([100 / 3, math.inf])]
    tta.test_step(image)
    what = 'scales=[2.0, 1.0], ranges=[(None, 72), (33.33, None)]'
    assert messages() == [f'MultiScaleChipTTA tests at {what}, which follows from the planner']


def test_without_a_planner_they_are_the_papers_and_that_is_said(oracle, image, messages):
    tta = MultiScaleChipTTA(oracle())
    tta.test_step(image)
    assert tta.scales == ((2000, 1400), (1280, 800), (512, 480))
    assert tta.ranges == [[0, 90], [32, 180], [75, math.inf]]
    (message,) = messages()
    assert 'knows no planner, and tests at scales=[(2000, 1400), (1280, 800), (512, 480)]' in message
    assert 'mmsniper.EvaluationHook' in message


@pytest.mark.parametrize(
    ('given', 'warned'),
    [
        (dict(scales=[2.0, 1.0], ranges=[(None, 70), (35, None)]), None),
        (dict(scales=[2.0, 1.0]), None),
        (dict(ranges=[(None, 50), (50, None)]), None),
        (
            dict(scales=[(2000, 1400), (1280, 800)], ranges=[(None, 90), (32, None)]),
            '2000, 1400.* answers for 4 to 90 px',
        ),
        (
            dict(ranges=[(None, 200), (40, None)]),
            r'2.0 \(a zoom of 2\) answers for 10[0-9] to .* px, which training shows at a zoom of 1',
        ),
        (dict(ranges=None), 'answers for'),
        (dict(scales=[1.0, 2.0]), 'answers for'),
    ],
    ids=str,
)
def test_what_is_given_and_not_taught_is_warned_of_once(given, warned, oracle, image, messages):
    tta = MultiScaleChipTTA(oracle(), given)
    tta.follow(PLANNER)
    tta.test_step(image)
    tta.test_step(image)
    found = [message for message in messages() if WARNED in message]
    assert len(found) == bool(warned)
    if warned:
        assert re.search(warned, found[0])
        assert "scales='planner', ranges='planner'" in found[0]
        assert 'ranges=[(None, 72), (33.33, None)]' in found[0]


def test_another_number_of_scales_wants_ranges(oracle):
    tta = MultiScaleChipTTA(oracle(), dict(scales=[1.0]))
    with pytest.raises(ValueError, match='tta_cfg has 1 scales.*but the planner 2.*give tta_cfg.ranges'):
        tta.follow(PLANNER)


def test_an_image_much_smaller_in_the_test_than_in_training_is_said(oracle, packed, messages):
    """The paper's edges show 1400 x 1000 px at 1.4, which training showed at 3.0."""
    paper = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])
    tta = MultiScaleChipTTA(oracle())
    tta.follow(paper)
    tta.test_step(packed(torch.zeros(3, 1000, 1400, dtype=torch.uint8)))
    (message,) = [message for message in messages() if 'small objects may be lost' in message]
    assert 'at a zoom of 1.4 at most, trained at 3' in message
    assert 'scales=[3.0, 1.667, (512, 512)]' in message


def test_the_planner_is_found_wherever_it_stands(messages):
    chips = dict(type='mmsniper.ChipDataset', planner=PLANNER)
    mixed = dict(type='MultiImageMixDataset', dataset=chips)
    plain = dict(type='CocoDataset', pipeline=[dict(type='mmsniper.ChipSampler', planner=PLANNER)])
    for dataset in (chips, mixed, plain, dict(type='ConcatDataset', datasets=[chips, chips])):
        assert find_planner(Config(dict(train_dataloader=dict(dataset=dataset)))) == PLANNER
    for cfg in ({}, dict(train_dataloader=None), dict(train_dataloader=dict(dataset=dict(type='CocoDataset')))):
        assert find_planner(Config(cfg)) is None
    assert messages() == []
    other = dict(chips, planner=dict(PLANNER, scales=[3.0, 1.0]))
    joined = dict(type='ConcatDataset', datasets=[chips, other])
    assert find_planner(Config(dict(train_dataloader=dict(dataset=joined)))) is None
    assert 'planners that differ' in messages()[0]
