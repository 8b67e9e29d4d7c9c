import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmcv.ops import soft_nms as mmcv_soft_nms

from mmsniper.models import soft_nms as module
from mmsniper.models.soft_nms import METHODS, soft_nms

METHOD_NAMES = sorted(METHODS)
both_ways = pytest.mark.parametrize('run', ['_one_by_one', '_in_rounds'])


def scene(seed, n, n_classes=3, side=60):
    """Random boxes in clusters, so that many overlap; all scores differ."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=g) * 100
    bboxes = torch.cat([corner, corner + 1 + torch.rand(n, 2, generator=g) * side], 1)
    scores = (torch.randperm(n, generator=g) + 1) / (n + 1)
    return bboxes, scores, torch.randint(0, n_classes, (n,), generator=g)


def with_mmcv(bboxes, scores, labels, method, sigma=0.55, iou_threshold=0.3, min_score=1e-3):
    """{row: score} by mmcv's operator, class by class."""
    kept = {}
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        dets, keep = mmcv_soft_nms(bboxes[rows], scores[rows], iou_threshold, sigma, min_score, method)
        kept.update(zip(rows[keep].tolist(), dets[:, 4].tolist(), strict=True))
    return kept


def use(monkeypatch, run):
    """Make both devices run one of the two algorithms."""
    for name in ('_one_by_one', '_in_rounds'):
        monkeypatch.setattr(module, name, ALGORITHMS[run])


ALGORITHMS = {name: getattr(module, name) for name in ('_one_by_one', '_in_rounds')}


@both_ways
@pytest.mark.parametrize('method', METHOD_NAMES)
def test_no_boxes(monkeypatch, run, method):
    use(monkeypatch, run)
    scores, keep = soft_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), method)
    assert (scores.shape, scores.dtype) == ((0,), torch.float)
    assert (keep.shape, keep.dtype) == ((0,), torch.int64)


@both_ways
@pytest.mark.parametrize('method', METHOD_NAMES)
def test_one_box(monkeypatch, run, method):
    use(monkeypatch, run)
    one = torch.tensor([[3.0, 4, 9, 9]]), torch.tensor([0.25]), torch.tensor([7])
    scores, keep = soft_nms(*one, method)
    assert (scores.tolist(), keep.tolist()) == ([0.25], [0])
    scores, keep = soft_nms(*one, method, min_score=0.3)
    assert (scores.tolist(), keep.tolist()) == ([], [])


@both_ways
@pytest.mark.parametrize('method', METHOD_NAMES)
@pytest.mark.parametrize('n_classes', [1, 4])
def test_it_is_mmcvs(monkeypatch, run, method, n_classes):
    use(monkeypatch, run)
    for seed in range(5):
        bboxes, scores, labels = given_boxes = scene(seed, 150, n_classes)
        before = [tensor.clone() for tensor in given_boxes]
        lowered, keep = soft_nms(bboxes, scores, labels, method)
        expected = with_mmcv(bboxes, scores, labels, method)
        assert set(keep.tolist()) == set(expected)
        assert lowered.tolist() == pytest.approx([expected[row] for row in keep.tolist()], rel=1e-4)
        assert (lowered.diff() <= 0).all()
        assert len(keep) > 5
        assert all(torch.equal(a, b) for a, b in zip(before, given_boxes, strict=True)), 'inputs stay as they are'


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 60),
    n_classes=st.integers(1, 3),
    method=st.sampled_from(METHOD_NAMES),
    side=st.sampled_from([5, 60, 300]),
    min_score=st.sampled_from([0.0, 1e-3, 0.2]),
)
@example(seed=0, n=40, n_classes=1, method='linear', side=300, min_score=0.0)
def test_the_gpus_way_gives_what_the_loop_gives(seed, n, n_classes, method, side, min_score):
    bboxes, scores, labels = scene(seed, n, n_classes, side)
    labels = labels.sort().values
    settings_ = METHODS[method], 0.3, 0.55, min_score
    above = scores >= min_score
    bboxes, scores, labels = bboxes[above], scores[above], labels[above]
    one, one_keep = ALGORITHMS['_one_by_one'](bboxes, scores, labels, *settings_)
    many, many_keep = ALGORITHMS['_in_rounds'](bboxes, scores, labels, *settings_)
    # What falls to the very limit may be kept by one and not by the other.
    one = dict(zip(one_keep.tolist(), one.tolist(), strict=True))
    many = dict(zip(many_keep.tolist(), many.tolist(), strict=True))
    assert all(abs(one.get(row, many.get(row)) - min_score) < 1e-5 for row in one.keys() ^ many.keys())
    both = sorted(one.keys() & many.keys())
    assert [many[row] for row in both] == pytest.approx([one[row] for row in both], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize('method', METHOD_NAMES)
def test_more_pairs_than_fit_are_left_to_the_loop(monkeypatch, method):
    crowd = (*scene(0, 60, 1), METHODS[method], 0.3, 0.55, 1e-3)
    n_pairs = len(module._overlapping_pairs(crowd[0], crowd[2])[0])
    calls = []

    def loop(*args):
        calls.append(args)
        return ALGORITHMS['_one_by_one'](*args)

    monkeypatch.setattr(module, '_one_by_one', loop)
    monkeypatch.setattr(module, 'PAIRS_AT_ONCE', 60 * 7)  # so that pairs are counted slice by slice
    for limit, n_calls in ((n_pairs, 0), (n_pairs - 1, 1)):
        monkeypatch.setattr(module, 'MOST_PAIRS', limit)
        lowered, keep = ALGORITHMS['_in_rounds'](*crowd)
        assert len(calls) == n_calls
        expected, rows = ALGORITHMS['_one_by_one'](*crowd)
        found = dict(zip(keep.tolist(), lowered.tolist(), strict=True))
        assert found == pytest.approx(dict(zip(rows.tolist(), expected.tolist(), strict=True)), rel=1e-3)


@both_ways
def test_of_equal_scores_the_first_row_wins(monkeypatch, run):
    use(monkeypatch, run)
    bboxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]])
    scores, keep = soft_nms(bboxes, torch.full((3,), 0.5), torch.zeros(3, dtype=torch.long), 'naive')
    assert (scores.tolist(), keep.tolist()) == ([0.5], [0])


@both_ways
@pytest.mark.parametrize('min_score', [0.0, 1e-3])
def test_identical_boxes(monkeypatch, run, min_score):
    use(monkeypatch, run)
    bboxes, labels = torch.tensor([[5.0, 5, 25, 45]]).repeat(4, 1), torch.zeros(4, dtype=torch.long)
    scores = torch.tensor([0.2, 0.8, 0.8, 0.4])
    lowered, keep = soft_nms(bboxes, scores, labels, 'gaussian', 1.0, min_score=min_score)
    decay = torch.tensor(-1.0).exp().item()
    assert keep.tolist() == [1, 2, 3, 0]
    assert lowered.tolist() == pytest.approx([0.8, 0.8 * decay, 0.4 * decay**2, 0.2 * decay**3], rel=1e-4)
    for method, kept in dict(naive=[1], linear=[1] if min_score else [1, 2, 3, 0]).items():
        lowered, keep = soft_nms(bboxes, scores, labels, method, min_score=min_score)
        assert sorted(keep.tolist()) == sorted(kept)
        assert lowered.tolist() == pytest.approx([0.8, 0, 0, 0][: len(kept)], abs=1e-6)


@both_ways
@pytest.mark.parametrize('method', METHOD_NAMES)
def test_boxes_without_area_and_inside_out_harm_nobody(monkeypatch, run, method):
    use(monkeypatch, run)
    bboxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [5, 5, 5, 9], [9, 9, 5, 5], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    lowered, keep = soft_nms(bboxes, scores, torch.zeros(5, dtype=torch.long), method)
    assert keep.tolist() == [0, 1, 2, 3, 4]
    assert lowered.tolist() == pytest.approx(scores.tolist())


@both_ways
def test_a_score_of_zero_stays_if_it_may(monkeypatch, run):
    use(monkeypatch, run)
    bboxes = torch.tensor([[0.0, 0, 9, 9], [1, 0, 9, 9], [50, 50, 60, 60]])
    labels = torch.zeros(3, dtype=torch.long)
    for method, kept in dict(gaussian=[0, 1, 2], linear=[0, 1, 2], naive=[0, 2]).items():
        keep = soft_nms(bboxes, torch.tensor([0.5, 0.4, 0.0]), labels, method, min_score=0.0)[1]
        assert keep.tolist() == kept


@both_ways
def test_other_classes_and_scores_that_are_no_numbers(monkeypatch, run):
    use(monkeypatch, run)
    bboxes = torch.tensor([[0.0, 0, 9, 9]]).repeat(3, 1)
    lowered, keep = soft_nms(bboxes, torch.tensor([0.3, torch.nan, 0.6]), torch.tensor([4, 0, 0]), 'naive')
    assert (lowered.tolist(), keep.tolist()) == (pytest.approx([0.6, 0.3]), [2, 0])


@both_ways
def test_half_precision_comes_back_as_such(monkeypatch, run):
    use(monkeypatch, run)
    bboxes, scores, labels = scene(0, 40)
    lowered, keep = soft_nms(bboxes.half(), scores.half(), labels)
    assert lowered.dtype == torch.half
    exact, rows = soft_nms(bboxes.half().float(), scores.half().float(), labels)
    assert lowered.float().tolist() == pytest.approx(exact.tolist(), rel=1e-3)
    assert set(rows.tolist()) == set(keep.tolist())


@pytest.mark.parametrize('at_once', [1, 100, 2**23])
def test_pairs_are_found_slice_by_slice(monkeypatch, at_once):
    bboxes, scores, labels = scene(1, 40)
    monkeypatch.setattr(module, 'PAIRS_AT_ONCE', at_once)
    a, b, iou = module._overlapping_pairs(bboxes, labels)
    found = {(i, j): v for i, j, v in zip(a.tolist(), b.tolist(), iou.tolist(), strict=True)}
    for i in range(40):
        for j in range(40):
            low, high = torch.maximum(bboxes[i, :2], bboxes[j, :2]), torch.minimum(bboxes[i, 2:], bboxes[j, 2:])
            common = (high - low).clamp(min=0).prod().item()
            paired = i != j and labels[i] == labels[j] and common > 0
            assert ((i, j) in found) == paired
            if paired:
                areas = sum((bboxes[k, 2:] - bboxes[k, :2]).prod().item() for k in (i, j))
                assert found[i, j] == pytest.approx(common / (areas - common), rel=1e-4)


def test_bad_settings_are_named():
    nothing = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="'gaussian', 'linear' or 'naive'; got 'soft'"):
        soft_nms(*nothing, method='soft')
    with pytest.raises(ValueError, match='sigma must be positive; got 0'):
        soft_nms(*nothing, sigma=0)
