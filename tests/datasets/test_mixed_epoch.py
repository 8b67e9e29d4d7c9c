"""What an epoch of mixed sizes shows, of a data set as large as one is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsniper.datasets.mixed_epoch import fill, mixed_epoch, rest_of, split_images
from mmsniper.datasets.size_mix import apportion, steps_for

SHARES, PER_STEP = np.array([0.3, 0.5, 0.2]), np.array([28, 16, 7])


class Plan:
    """Chips, of which only the images count."""

    def __init__(self, counts):
        self.image_idx = np.repeat(np.arange(len(counts)), counts)

    def __len__(self):
        return len(self.image_idx)


def epoch_of(plan, seed=0, lanes=8, of_chip=None):
    numbers = apportion(steps_for(len(plan), SHARES, PER_STEP), SHARES)
    return mixed_epoch(plan, numbers, PER_STEP, lanes, np.random.default_rng(seed), of_chip)


def test_images_are_loaded_once_and_steps_mix_them():
    plan = Plan(np.random.default_rng(0).poisson(4.7, 5000).clip(1))
    epoch = epoch_of(plan)
    in_step = np.repeat(np.arange(len(epoch.stops)), np.diff(epoch.stops, prepend=0))
    images, kept, loads = plan.image_idx[epoch.rows], [{} for _ in range(4)], 0
    for image, step, until in zip(images.tolist(), in_step.tolist(), epoch.keep_until.tolist(), strict=True):
        own = kept[step % 4]
        loads += own.get(image, -1) < step
        own[image] = max(until, own.get(image, -1))
    assert loads == pytest.approx(5000, rel=0.06)
    assert (np.bincount(in_step * 5000 + images).max()) == 1, 'no image twice in a step'
    assert np.bincount(epoch.size_idx).tolist() == apportion(len(epoch.stops), SHARES).tolist()
    thirds = [np.bincount(part, minlength=3) / len(part) for part in np.array_split(epoch.size_idx, 3)]
    assert np.array(thirds) == pytest.approx(np.tile(SHARES, (3, 1)), abs=0.06), 'at all times'


def test_chips_come_at_the_size_they_are_planned_for():
    plan = Plan(np.full(400, 4))
    of_chip = np.random.default_rng(1).integers(-1, 3, 400).repeat(4)
    epoch = epoch_of(plan, of_chip=of_chip)
    in_step = np.repeat(epoch.size_idx, np.diff(epoch.stops, prepend=0))
    assert (of_chip[epoch.rows] == in_step).all()
    for s in range(3):
        candidates, room = int((of_chip == s).sum()), int((in_step == s).sum())
        shown = len(np.unique(epoch.rows[in_step == s]))
        assert shown == min(candidates, room)
    assert epoch.n_left_out == sum(max(int((of_chip == s).sum()) - int((in_step == s).sum()), 0) for s in range(3))


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 9))
def test_all_come_as_often_as_there_is_room(n_chips, room, seed):
    rows, times = fill(n_chips, room, np.random.default_rng(seed))
    counts = np.bincount(rows, minlength=n_chips)
    assert len(rows) == room and counts.max(initial=0) - counts.min() <= 1
    assert len({*zip(rows.tolist(), times.tolist(), strict=True)}) == room
    assert rows[:n_chips].tolist() == list(range(n_chips)) or room < n_chips


def test_nothing_fills_nothing():
    assert [len(part) for part in fill(0, 0, np.random.default_rng(0))] == [0, 0]
    with pytest.raises(ValueError, match="a size has no image with chips.*write keep='view'"):
        fill(0, 3, np.random.default_rng(0))


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=40, max_size=40), min_size=1, max_size=3),
    st.lists(st.integers(0, 200), min_size=3, max_size=3),
    st.integers(0, 9),
)
def test_images_fill_the_rooms_of_all_sizes_alike(n_chips, room, seed):
    n_chips, room = np.array(n_chips), np.array(room[: len(n_chips)])
    room[-1] += 1
    size_of = split_images(n_chips, room, np.random.default_rng(seed))
    some = np.flatnonzero(room)
    assert {*size_of.tolist()} == {*some.tolist()}, 'each of them some, the others none'
    filled = {s: n_chips[s, size_of == s].sum() / room[s] for s in some if (size_of == s).sum() > 1}
    for s in [s for s in some[:-1] if s in filled and (size_of == some[-1]).sum() > 1]:
        assert max(filled.values()) <= filled[s] + (9 + 1e-3) / room[s], 'to within an image'


def test_the_rest_of_an_epoch_keeps_its_order():
    plan = Plan(np.full(100, 5))
    before, other = epoch_of(plan), epoch_of(plan, seed=1)
    for shown in range(150, 250, 7):  # there is less room than is left, and more
        rest = rest_of(other, before, shown, 10, np.random.default_rng(0))
        start, stop = other.stops[9:11]
        room, left = len(other.rows) - start, len(before.rows) - shown
        assert len(rest.rows) == len(other.rows)
        same = len(other.rows) - max(stop, start + room - left)
        assert rest.rows[len(other.rows) - same :].tolist() == before.rows[len(before.rows) - same :].tolist()
        again = rest.times[start:] > before.times.max()
        assert again.sum() == max(room - left, 0), 'chips that come again have seeds of their own'


def test_more_room_than_chips_shows_no_image_much_more_often_than_others():
    # 96 and 192 px, of which this epoch has room for all images several times.
    n_chips, per_step, numbers = np.array([[5] * 60, [4] * 60]), np.array([36, 9]), np.array([70, 70])
    size_of = split_images(n_chips, numbers * per_step, np.random.default_rng(0))
    for s, room in enumerate(numbers * per_step):
        assert room / n_chips[s, size_of == s].sum() < 12, 'the epoch goes through its plan some ten times'
