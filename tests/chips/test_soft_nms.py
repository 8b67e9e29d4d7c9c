import numpy as np
import pytest

from mmsniper.chips.soft_nms import GAUSSIAN, LINEAR, NAIVE, soft_nms_sorted

BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [0, 0, 10, 10]], np.float32)


def suppress(scores, start, method, min_score=0.001, iou_thr=0.3):
    """(rows, lowered scores) of the boxes above."""
    scores = np.array(scores, np.float32)
    rows = soft_nms_sorted(BOXES[: len(scores)], scores, np.array(start), method, iou_thr, 0.5, min_score)
    return rows.tolist(), scores.tolist()


def test_no_boxes():
    assert suppress([], [0], GAUSSIAN) == ([], [])
    assert suppress([], [0, 0], GAUSSIAN) == ([], [])


def test_one_box():
    assert suppress([0.5], [0, 1], NAIVE) == ([0], [0.5])


@pytest.mark.parametrize(
    ('method', 'half', 'same'),
    [(GAUSSIAN, np.exp(-(0.5**2) / 0.5), np.exp(-1 / 0.5)), (LINEAR, 0.5, 0.0), (NAIVE, 0.0, 0.0)],
)
def test_each_method_by_hand(method, half, same):
    # The first box meets half of itself, nothing, and itself; what is left of the half meets the double again.
    rows, scores = suppress([0.9, 0.8, 0.7, 0.6], [0, 4], method)
    assert scores[0] == pytest.approx(0.9)
    assert scores[2] == pytest.approx(0.7)
    assert scores[1] == pytest.approx(0.8 * half)
    last = 0.6 * same * half if same else 0
    assert scores[3] == pytest.approx(last, abs=1e-7)
    taken = {GAUSSIAN: [0, 2, 1, 3], LINEAR: [0, 2, 1], NAIVE: [0, 2]}[method]
    assert rows == taken


def test_below_the_threshold_nothing_acts():
    assert suppress([0.9, 0.8], [0, 2], NAIVE, iou_thr=0.5) == ([0, 1], pytest.approx([0.9, 0.8]))
    assert suppress([0.9, 0.8], [0, 2], LINEAR, iou_thr=0.5) == ([0, 1], pytest.approx([0.9, 0.8]))


def test_classes_are_apart_and_in_order():
    rows, scores = suppress([0.5, 0.6, 0.9, 0.8], [0, 2, 4], NAIVE)
    assert rows == [1, 2, 3]
    assert scores[1:] == pytest.approx([0.6, 0.9, 0.8])


def test_of_equals_the_first_wins():
    assert suppress([0.5, 0.5, 0.5, 0.5], [0, 4], NAIVE)[0] == [0, 2]


def test_what_falls_below_the_least_score_is_dropped():
    rows, _ = suppress([0.9, 0.8, 0.7, 0.6], [0, 4], GAUSSIAN, min_score=0.1)
    assert rows == [0, 2, 1]
