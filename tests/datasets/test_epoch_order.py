import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsniper.datasets.epoch_order import Deal, by_image, epoch_order


def order_of(image_idx, per_step, lanes, seed):
    return epoch_order(image_idx, Deal(per_step, lanes), True, len(image_idx), np.random.default_rng(seed))


def loads(images, keep_until, per_step, workers):
    """How often all workers together load an image that they do not keep."""
    kept = [{} for _ in range(workers)]
    n = 0
    for place, (image, until) in enumerate(zip(images.tolist(), keep_until.tolist(), strict=True)):
        step = place // per_step
        own = kept[step % workers]
        n += own.get(image, -1) < step
        own[image] = max(until, own.get(image, -1))
    return n


@st.composite
def epochs(draw):
    counts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=40))
    image_idx = np.repeat(np.arange(len(counts)), counts)
    return image_idx, draw(st.integers(1, 8)), draw(st.sampled_from([1, 2, 4, 6])), draw(st.integers(0, 9))


@given(epochs())
def test_every_chip_once_and_no_image_twice_in_a_step(epoch):
    image_idx, per_step, lanes, seed = epoch
    rows = np.arange(len(image_idx))
    order = order_of(image_idx, per_step, lanes, seed)
    assert np.sort(order.rows).tolist() == rows.tolist()
    images, n_steps = image_idx[order.rows], -(-len(rows) // per_step)
    most = -(-np.bincount(image_idx) // max(n_steps - 1, 1))
    for step in range(n_steps):
        shown = np.bincount(images[step * per_step : (step + 1) * per_step], minlength=len(most))
        assert (shown <= most).all(), 'one of each, unless an image has as many chips as there are steps'


@given(epochs())
def test_an_image_is_loaded_once_but_where_a_lane_ends(epoch):
    image_idx, per_step, lanes, seed = epoch
    order = order_of(image_idx, per_step, lanes, seed)
    step = np.arange(len(image_idx)) // per_step
    assert (order.keep_until >= step).all()
    assert ((order.keep_until - step) % lanes == 0).all(), 'the worker of another lane would wait in vain'
    images = image_idx[order.rows]
    for workers in (n for n in range(1, lanes + 1) if lanes % n == 0):
        assert loads(images, order.keep_until, per_step, workers) <= image_idx.max() + 1 + per_step * lanes


def test_images_of_a_large_data_set_are_loaded_once():
    counts = np.random.default_rng(0).poisson(4.7, 20_000).clip(1)
    image_idx = np.repeat(np.arange(len(counts)), counts)
    order = order_of(image_idx, 16, 8, 1)
    images = image_idx[order.rows]
    assert [loads(images, order.keep_until, 16, workers) / 20_000 for workers in (1, 2, 4, 8)] == [
        pytest.approx(1, abs=0.01)
    ] * 4
    assert loads(images, order.keep_until, 16, 3) / 20_000 > 2, 'which is why lanes are a multiple of the workers'
    alone = epoch_order(image_idx, Deal(), True, len(image_idx), np.random.default_rng(1))
    assert set(alone.keep_until.tolist()) == {-1}, 'every chip loads its image'


def test_steps_mix_images_from_all_over_the_data_set():
    image_idx = np.repeat(np.arange(4000), 5)
    order = order_of(image_idx, 16, 8, 0)
    steps = image_idx[order.rows].reshape(-1, 16)
    # The mean of 16 numbers drawn from 4000 has a standard deviation of 4000 / sqrt(12 * 16) = 289.
    assert steps.mean(axis=1).std() == pytest.approx(289, rel=0.1)
    assert not set(steps[0]) & set(steps[1]), 'the next batch has other images'


def test_another_seed_is_another_order():
    image_idx = np.repeat(np.arange(50), 4)
    one, two, again = (order_of(image_idx, 4, 2, seed) for seed in (0, 1, 0))
    assert one.rows.tolist() == again.rows.tolist() != two.rows.tolist()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.sampled_from([1, 2, 4]), st.integers(0, 9))
def test_steps_may_differ_in_chips_and_be_some_of_an_epochs(counts, lanes, seed):
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.permutation(3 * len(counts))[: len(counts)])
    image_idx = np.repeat(np.arange(sum(counts)), rng.integers(1, 6, sum(counts)))[: sum(counts)]
    order = by_image(image_idx, np.array(counts), lanes, rng, steps)
    assert np.sort(order.rows).tolist() == list(range(sum(counts)))
    in_step = np.repeat(steps, counts)
    assert (order.keep_until >= in_step).all() and ((order.keep_until - in_step) % lanes == 0).all()
    chips, in_lane = list(zip(image_idx[order.rows], in_step, order.keep_until, strict=True)), {}
    for image, step, until in chips:
        in_lane.setdefault((image, step % lanes), []).append((step, until))
    for shown in in_lane.values():
        assert {until for _, until in shown} <= {step for step, _ in shown}, 'kept until a step that shows it'
