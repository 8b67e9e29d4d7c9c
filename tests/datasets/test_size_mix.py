import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmsniper.datasets.size_mix import (
    TOLERANCE,
    apportion,
    read_distribution,
    read_schedule,
    stage_of,
    step_contents,
    steps_for,
)

sides = st.integers(2, 40).map(lambda n: 32 * n)
weights = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@pytest.mark.parametrize('given', [[(512, 0.5), (384, 0.5)], {384: 0.5, 512: 0.5}, {'384': 0.5, '512': '0.5'}])
def test_a_distribution_is_pairs_or_a_mapping(given):
    assert read_distribution(given) == {384: 0.5, 512: 0.5}


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ([], 'comes once'),
        (None, 'are pairs'),
        ([384, 512], 'are pairs'),
        ([(float('inf'), 1)], 'are pairs'),
        ([[(384, 1.0)], [(512, 1.0)]], 'with a schedule, and only then, a list of such lists'),
        ([(384, 0.5), (384, 0.5)], 'comes once'),
        ([(384.5, 1)], 'a whole number of network pixels'),
        ([(-32, 1)], 'a whole number of network pixels'),
        ([(384, 0), (512, 1)], 'leave out a size that is not to come'),
        ([(384, float('nan')), (512, 1)], 'each share is > 0'),
        (
            [(384, 0.3), (512, 0.3)],
            r'add up to 0.6, not to 1; in the same proportions: sizes=\[\(384, 0.5\), \(512, 0.5\)',
        ),
    ],
)
def test_what_is_no_distribution_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        read_distribution(given)


def test_contents_of_the_papers_regimes():
    sizes = (384, 512, 768)
    assert [part.tolist() for part in step_contents('B', sizes, 16, 512)] == [[16] * 3, [1] * 3]
    assert [part.tolist() for part in step_contents('B+', sizes, 16, 512)] == [[28, 16, 7], [1] * 3]
    assert [part.tolist() for part in step_contents('D+', sizes, 16, 512)] == [[14, 16, 7], [2, 1, 1]]
    assert [part.tolist() for part in step_contents('D+', (128, 256), 8, 256)] == [[8, 8], [4, 1]]


@given(st.lists(sides, min_size=1, max_size=4, unique=True), st.integers(1, 64), sides, st.sampled_from(['B+', 'D+']))
def test_pixels_keep_to_the_budget_or_the_batch_that_would_is_named(sizes, batch, chip_size, regime):
    budget = batch * chip_size**2
    try:
        chips, copies = step_contents(regime, sizes, batch, chip_size)
    except ValueError as error:
        fits = [int(text) for text in str(error).split('batch_size=')[1].rstrip(')').split(' or ')]
        assert batch not in fits
        for fit in fits:
            step_contents(regime, sizes, fit, chip_size)
        return
    assert (chips >= 1).all() and (copies >= 1).all()
    pixels = chips * copies * np.square(sizes)
    assert (np.abs(pixels - budget) <= TOLERANCE * budget).all()


def test_a_batch_of_no_chips_is_refused_with_one_that_works():
    with pytest.raises(ValueError, match=r'the pixels of 0.44 of 768 px; 0 of them are 100% off.*batch_size=7\)'):
        step_contents('B+', (512, 768), 1, 512)
    with pytest.raises(ValueError, match='batch_size=7 or 9'):
        step_contents('B+', (192, 256, 384), 8, 256)


@given(weights, st.integers(0, 500))
def test_apportioned_numbers_are_within_one_of_their_share(weight, n):
    shares = np.array(weight) / sum(weight)
    counts = apportion(n, shares)
    assert counts.sum() == n
    assert (np.abs(counts - n * shares) < 1 + 1e-6).all()


@given(weights, st.integers(1, 5000), st.integers(0, 9))
def test_no_step_too_few_and_none_too_many(weight, n_chips, seed):
    shares, chips = np.array(weight) / sum(weight), np.random.default_rng(seed).integers(1, 30, len(weight))
    n = steps_for(n_chips, shares, chips)
    assert apportion(n, shares) @ chips >= n_chips
    assume(n > 1)
    assert apportion(n, shares) @ chips < n_chips + (len(shares) + 1) * chips.max()


def test_schedules_are_functions_of_seed_and_epoch():
    assert [stage_of('in_order', 3, 7, 0, epoch) for epoch in range(9)] == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert [stage_of('alternating', 2, 1, 0, epoch) for epoch in range(5)] == [0, 1, 0, 1, 0]
    draws = np.array([[stage_of('decreasing', 2, 11, seed, epoch) for epoch in range(12)] for seed in range(300)])
    assert draws.tolist() == [[stage_of('decreasing', 2, 11, s, e) for e in range(12)] for s in range(300)]
    assert (draws[:, 0] == 0).all() and (draws[:, 10:] == 1).all(), 'all at first, none in the end'
    assert draws.mean(axis=0)[:11] == pytest.approx(np.linspace(0, 1, 11), abs=0.1)
    assert [stage_of('decreasing', 2, 1, 0, epoch) for epoch in range(2)] == [0, 1]


@pytest.mark.parametrize(
    'given',
    [dict(type='falling', epochs=7), dict(type='in_order'), dict(type='in_order', epochs=0), dict(epochs=7)]
    + [dict(type='decreasing', epochs=1)],
    ids=str,
)
def test_malformed_schedules_are_refused(given):
    with pytest.raises(ValueError, match="schedule has a type, one of 'in_order', 'alternating', 'decreasing'"):
        read_schedule(given)
    assert read_schedule(None) == ('in_order', 1)
    assert read_schedule(dict(type='alternating')) == ('alternating', 1)
