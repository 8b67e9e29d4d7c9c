"""Batch, learning rate and epochs for so many chips."""

import pytest

from mmsniper.suggest.schedule import make_schedule


def test_the_recipe_itself(r50):
    found = make_schedule(r50, chips=500_000, chip_size=512, fits=32)
    assert (found.batch_size, found.epochs, found.steps_per_epoch) == (16, 7, 31250)
    assert found.lr == pytest.approx(0.015 * 16 / 128, rel=0.05)
    assert found.param_scheduler[0]['end'] == 1000
    assert found.param_scheduler[1]['begin'] == 5.33


def test_few_chips_want_many_epochs_a_short_warm_up_and_several_validations(r50):
    found = make_schedule(r50, chips=1600, chip_size=512, fits=32)
    assert found.batch_size == 16
    assert found.epochs * 1600 >= 40_000
    assert found.epochs % found.val_interval == 0
    assert found.epochs // found.val_interval >= 4
    assert found.param_scheduler[0]['end'] == int(0.1 * found.steps)
    assert found.param_scheduler[1]['begin'] == pytest.approx(5.33 / 7 * found.epochs, abs=0.01)


def test_memory_limits_the_batch_and_the_rate_follows(r50):
    found = make_schedule(r50, chips=100_000, chip_size=512, fits=5)
    assert found.batch_size == 4
    assert found.lr == pytest.approx(0.015 * 4 / 128, rel=0.05)


def test_a_handful_of_chips_still_makes_a_batch(r50):
    found = make_schedule(r50, chips=57, chip_size=512, fits=32)
    assert found.batch_size == 8  # less would leave batch norm without statistics
    assert found.epochs == 72


@pytest.mark.parametrize('chips', range(550, 1000, 7))
def test_epochs_are_whole_intervals_and_never_more_than_stated(r50, chips):
    found = make_schedule(r50, chips=chips, chip_size=512, fits=32)
    assert found.epochs <= 72 and found.epochs % found.val_interval == 0


def test_adam_is_scaled_by_the_root_of_the_pixels(demo):
    same = make_schedule(demo, chips=10_000, chip_size=256, fits=99)
    assert (same.batch_size, same.lr) == (8, 0.002)
    larger = make_schedule(demo, chips=10_000, chip_size=384, fits=99)
    assert larger.batch_size == 2
    assert larger.lr == pytest.approx(0.002 * (2 * 2.25 / 8) ** 0.5, rel=0.05)
    assert larger.param_scheduler[1]['end'] == larger.epochs


def test_epochs_as_asked(demo):
    found = make_schedule(demo, chips=1000, chip_size=256, fits=99, epochs=10)
    assert (found.epochs, found.val_interval) == (10, 2)
    assert make_schedule(demo, chips=1000, chip_size=256, fits=99, epochs=1).val_interval == 1
