import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsniper.chips.cover import ROW_MAJOR, enclosing_windows, greedy_cover, mix, window_origins

NONE = np.zeros(0)


def origins(starts, ends, length, window, step, seed=ROW_MAJOR):
    args = (np.array(starts, float), np.array(ends, float), length, window, step, seed)
    compiled = window_origins(*args)
    assert compiled.tolist() == window_origins.py_func(*args).tolist()
    return compiled.tolist()


@pytest.mark.parametrize(
    ('length', 'window', 'step', 'expected'),
    [
        (100, 100, 10, [0]),
        (60, 100, 10, [0]),
        (101, 100, 10, [0, 1]),
        (130, 100, 10, [0, 10, 20, 30]),
        (135, 100, 10, [0, 10, 20, 30, 35]),
        (120, 100, 10.667, [0, 11, 20]),
    ],
)
def test_grid_ends_flush_with_the_border(length, window, step, expected):
    assert origins([], [], length, window, step) == expected


def test_a_box_between_grid_lines_gets_an_origin_of_its_own():
    # Windows at 0, 40, 80 ... of side 100: [35, 130] lies in none of them.
    assert origins([35.5], [130], 300, 100, 40) == [0, 35, 40, 80, 120, 160, 200]
    assert origins([45], [130], 300, 100, 40) == [0, 40, 80, 120, 160, 200]


def test_seed_shifts_the_grid_by_less_than_a_step():
    firsts = {origins([], [], 300, 100, 40, seed)[1] for seed in range(50)}
    assert len(firsts) > 20
    assert all(0 <= first <= 40 for first in firsts)


def test_enclosing_windows_are_a_range():
    first, stop = enclosing_windows(np.array([0.0, 45, 12]), np.array([50.0, 100, 112]), np.array([0, 10, 20]), 100)
    assert first.tolist() == [0, 0, 2]
    assert stop.tolist() == [1, 3, 2]  # the last box is in none: from 2 to 2


def cover(x_first, x_stop, y_first, y_stop, shape, least=1, seed=ROW_MAJOR):
    args = [np.array(a, np.int64) for a in (x_first, x_stop, y_first, y_stop)]
    compiled = greedy_cover(*args, shape, least, seed)
    plain = greedy_cover.py_func(*args, shape, least, seed)
    assert compiled.tolist() == plain.tolist()
    return compiled.tolist()


def test_no_boxes_need_no_window():
    assert cover(NONE, NONE, NONE, NONE, (4, 5)) == []


def test_the_fullest_window_is_taken_first_and_ties_go_row_major():
    # Two boxes meet in column 2 of row 0; a third one lies in row 1, columns 0 and 1.
    assert cover([0, 2, 0], [3, 5, 2], [0, 0, 1], [1, 1, 2], (2, 5)) == [2, 5]


def test_windows_with_too_few_boxes_are_not_worth_it():
    assert cover([0, 2, 0], [3, 5, 2], [0, 0, 1], [1, 1, 2], (2, 5), least=2) == [2]


def test_random_ties_reach_every_equal_window():
    chosen = {cover([0], [3], [0], [2], (2, 3), seed=seed)[0] for seed in range(100)}
    assert chosen == set(range(6))


def plain_greedy(boxes, shape):
    """Windows by boxes: count for every window, take the first fullest, repeat."""
    left, chosen = list(boxes), []
    while left:
        counts = np.zeros(shape, int)
        for x1, x2, y1, y2 in left:
            counts[y1:y2, x1:x2] += 1
        y, x = np.unravel_index(counts.argmax(), shape)
        chosen.append(int(y * shape[1] + x))
        left = [b for b in left if not (b[0] <= x < b[1] and b[2] <= y < b[3])]
    return chosen


spans = st.tuples(st.integers(0, 8), st.integers(1, 4))


@given(st.lists(st.tuples(spans, spans), max_size=25))
def test_cover_equals_the_plain_greedy_algorithm(rectangles):
    boxes = [(x, x + w, y, y + h) for (x, w), (y, h) in rectangles]
    columns = list(zip(*boxes, strict=True)) or [NONE] * 4
    assert cover(*columns, (12, 12)) == plain_greedy(boxes, (12, 12))


def test_mix_is_deterministic_and_spreads():
    numbers = [int(mix(7, n)) for n in range(1000)]
    with np.errstate(over='ignore'):
        assert numbers == [int(mix.py_func(7, n)) for n in range(1000)]
    assert len(set(numbers)) == 1000
    assert abs(np.mean(numbers) / 2**63 - 0.5) < 0.03
    assert min(numbers) >= 0
