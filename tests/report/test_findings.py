import copy

import pytest

from mmsniper.report.findings import find

PLANNER = dict(scales=[2.0, [128, 128]], valid_ranges=[[0, 40], [30, None]], chip_size=128)
GOOD = dict(
    data=dict(objects=9, images=4, without_objects=2, larger_than_a_chip=0),
    times_valid=dict(never_thin=0, never_large=0),
    pixels=[dict(of_single_scale=1.3)],
    scales=[dict(name='2', chips=90, share=0.9), dict(name='128 x 128', chips=10, share=0.1)],
    objects_per_chip=dict(share_without_valid=0.1),
    sizes=dict(share_few_after=0.01, few_pixels=16),
    negatives=None,
)


def with_changes(**sections):
    numbers = copy.deepcopy(GOOD)
    for name, change in sections.items():
        numbers[name] = change if isinstance(change, list) else {**(numbers[name] or {}), **change}
    return numbers


def test_nothing_is_found_where_nothing_is_wrong():
    assert find(GOOD, PLANNER, 'a.json') == []


@pytest.mark.parametrize(
    ('changes', 'level', 'what', 'line'),
    [
        (dict(times_valid=dict(never_thin=2)), 'problem', '2 objects of 9 never valid, with a', '"iscrowd": 1'),
        (
            dict(times_valid=dict(never_large=1)),
            'problem',
            '1 object of 9 larger than a chip at every scale, 1 of them never',
            'planner=dict(scales=[2.0, (128, 128), (128, 128)], valid_ranges=[(None, 40), (30, None), (30, None)], ',
        ),
        (dict(data=dict(larger_than_a_chip=1)), 'note', '1 object of 9 larger than a chip', 'planner=dict('),
        (
            dict(pixels=[dict(of_single_scale=2.6)]),
            'note',
            'An epoch costs 2.6 times',
            'mmsniper suggest a.json --budget 1.3',
        ),
        (
            dict(scales=[GOOD['scales'][0], dict(name='128 x 128', chips=1, share=0.002)]),
            'note',
            'Hardly any chip of scale 128 x 128 (1 chip)',
            'mmsniper suggest a.json',
        ),
        (dict(objects_per_chip=dict(share_without_valid=0.5)), 'note', '50% of the chips have no', 'empty_chips=0'),
        (dict(sizes=dict(share_few_after=0.2)), 'note', '20% of the objects are under 16 px', 'mmsniper suggest'),
        (dict(negatives=dict(images_not_mined=3, file='n.npz')), 'note', '3 images of 4 not in n.npz', ''),
    ],
    ids=lambda value: '',
)
def test_each_has_what_to_do(changes, level, what, line):
    (finding,) = find(with_changes(**changes), PLANNER, 'a.json')
    assert finding['level'] == level
    assert finding['what'].startswith(what)
    assert line in finding['line']
    assert finding['why']
    assert finding['remedy']


def test_problems_come_first():
    numbers = with_changes(pixels=[dict(of_single_scale=9)], times_valid=dict(never_thin=1))
    assert [finding['level'] for finding in find(numbers, PLANNER, '')] == ['problem', 'note']


def test_one_scale_is_never_idle_and_mined_chips_may_be_empty():
    assert find(with_changes(scales=[dict(name='2', chips=0, share=0.0)]), PLANNER, '') == []
    mined = with_changes(objects_per_chip=dict(share_without_valid=0.5), negatives=dict(images_not_mined=0, file=''))
    assert find(mined, PLANNER, '') == []
