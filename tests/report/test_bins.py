import numpy as np
import pytest

from mmsniper.report.bins import MOST_BINS, quantiles, size_counts, size_edges, whole_bins


def test_nothing_has_no_bins_to_speak_of():
    assert whole_bins(np.zeros(0, int)) == dict(labels=['0'], counts=[0])
    assert size_edges(np.zeros(0), per_octave=1) == [1, 2]
    assert size_counts(np.zeros(0), [1.0, 2.0]) == [0]
    assert quantiles(np.zeros(0)) is None


def test_few_values_have_a_bin_each():
    assert whole_bins(np.array([0, 2, 2, 3])) == dict(labels=['0', '1', '2', '3'], counts=[1, 0, 2, 1])


def test_many_values_share_bins_but_zero_stands_alone():
    bins = whole_bins(np.arange(101))
    assert bins['labels'][:3] == ['0', '1 to 10', '11 to 20']
    assert bins['counts'] == [1] + [10] * 10


def test_bins_begin_with_the_first_value():
    assert whole_bins(np.array([95, 99, 101])) == dict(labels=['91 to 100', '101 to 110'], counts=[2, 1])


@pytest.mark.parametrize('largest', [1, 12, 13, 60, 61, 999, 12_345, 10**9])
def test_bins_are_few_and_lose_nothing(largest):
    values = np.unique(np.linspace(0, largest, 1000).astype(int))
    bins = whole_bins(values)
    assert len(bins['labels']) == len(bins['counts']) <= MOST_BINS
    assert sum(bins['counts']) == len(values)


def test_sizes_lie_between_powers_of_two():
    edges = size_edges(np.array([9.0, 0.5]), np.array([70.0]))
    assert edges[0] == 8
    assert edges[-1] == 128
    assert edges[1] == pytest.approx(8 * 2**0.5)
    assert size_counts(np.array([0.5, 8, 11.4, 127.9, 500]), edges) == [2, 1, 0, 0, 0, 0, 0, 2]
    assert size_edges(np.array([64.0]), per_octave=1) == [64, 128]


def test_octaves_are_between_the_percentiles():
    found = quantiles(np.linspace(10, 110, 101))
    assert (found['p5'], found['median'], found['p95']) == (15, 60, 105)
    assert found['octaves'] == pytest.approx(np.log2(7))
