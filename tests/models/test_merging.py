import math

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData

from mmsniper.models.masks import EncodedMasks
from mmsniper.models.merging import check_nms, from_view, merge
from mmsniper.models.views import View, choose_views

SIZE = (200, 150)
WHOLE = View(0, 0, (0, 0, *SIZE), (SIZE[1], SIZE[0]))
DOUBLE = WHOLE._replace(shape=(300, 400), scale_idx=1)
EVERY_SIZE = (0.0, math.inf)
NMS = dict(type='nms', iou_threshold=0.5)


def seen(bboxes, scores=None, labels=None, **more):
    """What a detector predicts in a view."""
    bboxes = torch.as_tensor(bboxes, dtype=torch.float).reshape(-1, 4)
    scores = torch.full((len(bboxes),), 0.5) if scores is None else torch.as_tensor(scores, dtype=torch.float)
    labels = torch.zeros(len(bboxes)) if labels is None else torch.as_tensor(labels)
    return InstanceData(bboxes=bboxes, scores=scores, labels=labels.long(), **more)


def part(bboxes, scores=None, labels=None, view=WHOLE):
    return from_view(seen(bboxes, scores, labels), view, SIZE, EVERY_SIZE)


def crowd(seed, n=60, n_classes=3):
    """Random overlapping boxes with scores that differ."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=g) * 100
    bboxes = torch.cat([corner, corner + 10 + 40 * torch.rand(n, 2, generator=g)], 1)
    return bboxes, (torch.randperm(n, generator=g) + 1) / (n + 1), torch.randint(0, n_classes, (n,), generator=g)


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def plain_merge(detections, decay, min_score):
    """Take the best, lower the others of its class, again: [(box, score, label)] in descending order."""
    left, kept = [list(detection) for detection in detections], []
    while left:
        best = left.pop(max(range(len(left)), key=lambda n: left[n][1]))
        kept.append(best)
        for other in left:
            if other[2] == best[2]:
                other[1] *= decay(overlap(best[0], other[0]))
        left = [other for other in left if other[1] >= min_score]
    return sorted(kept, key=lambda one: -one[1])


@pytest.mark.parametrize('nms', [None, NMS, dict(type='soft_nms')], ids=str)
@pytest.mark.parametrize('n_views', [1, 3])
def test_nothing_found_in_any_view(nms, n_views):
    merged = merge([part([])] * n_views, SIZE, nms)
    assert (merged.bboxes.shape, merged.scores.shape, merged.labels.shape) == ((0, 4), (0,), (0,))
    assert merged.labels.dtype == torch.int64
    assert 'masks' not in merged
    none = from_view(seen([], masks=torch.zeros(0, 150, 200, dtype=bool)), WHOLE, SIZE, EVERY_SIZE)
    masks = merge([none] * n_views, SIZE, nms).masks
    assert isinstance(masks, EncodedMasks)
    assert masks.astype(bool).shape == (0, 150, 200)


@pytest.mark.parametrize('nms', [None, NMS, dict(type='soft_nms')], ids=str)
def test_one_view_finds_one_thing_beside_empty_ones(nms):
    merged = merge([part([]), part([[1, 2, 30, 40]], [0.7], [5]), part([])], SIZE, nms)
    assert merged.bboxes.tolist() == [[1, 2, 30, 40]]
    assert merged.scores.tolist() == pytest.approx([0.7])
    assert merged.labels.tolist() == [5]


def test_ranges_are_half_open_in_image_pixels():
    boxes = torch.tensor([[0.0, 0, 2 * side, 2 * side] for side in (15.5, 16, 20, 31.5, 32, 40)])
    kept = from_view(seen(boxes), DOUBLE, SIZE, (16.0, 32.0)).bboxes
    assert kept[:, 2].tolist() == [16, 20, 31.5]
    assert len(from_view(seen(boxes), DOUBLE, SIZE, EVERY_SIZE)) == 6
    long = torch.tensor([[0.0, 0, 128, 8], [0, 0, 127, 8]])  # 64 x 4 image pixels: sqrt(area) is 16
    assert len(from_view(seen(long), DOUBLE, SIZE, (16.0, 32.0))) == 1
    assert from_view(seen(boxes[:1]), DOUBLE, SIZE, (0.0, 16.0)).bboxes.tolist() == [[0, 0, 15.5, 15.5]]


def test_tiles_and_flips_come_back_to_the_image():
    tile = View(0, 0, (100, 50, 200, 150), (200, 200), (60, 60))
    found = from_view(seen([[40, 20, 80, 60]]), tile, SIZE, EVERY_SIZE)
    assert found.bboxes.tolist() == [[120, 60, 140, 80]]
    found = from_view(seen([[120, 20, 160, 60]]), tile._replace(flip=True), SIZE, EVERY_SIZE)
    assert found.bboxes.tolist() == [[120, 60, 140, 80]]
    assert len(from_view(seen([[0, 20, 40, 60]]), tile, SIZE, EVERY_SIZE)) == 0, 'cut by an inner border'
    assert len(from_view(seen([[160, 160, 200, 200]]), tile, SIZE, EVERY_SIZE)) == 1
    assert len(from_view(seen([[0, 160, 40, 200]]), tile._replace(flip=True), SIZE, EVERY_SIZE)) == 1


def test_proposals_have_no_labels_and_boxes_may_be_mmdets():
    proposals = InstanceData(bboxes=HorizontalBoxes(torch.tensor([[0.0, 0, 20, 20]] * 3)), scores=torch.rand(3))
    found = from_view(proposals, WHOLE, SIZE, EVERY_SIZE)
    assert type(found.bboxes) is torch.Tensor
    assert found.labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize('view', [WHOLE, DOUBLE, DOUBLE._replace(flip=True)])
def test_one_object_at_two_scales_is_one_detection(view):
    boxes = torch.tensor([[10.0, 20, 50, 60], [100, 20, 140, 60]])
    shown = boxes * (view.shape[0] / 150)
    if view.flip:
        shown[:, [0, 2]] = 400 - shown[:, [2, 0]]
    parts = [part(boxes, [0.8, 0.6]), part(shown, [0.7, 0.9], view=view)]
    merged = merge(parts, SIZE, NMS)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])
    assert torch.allclose(merged.bboxes, boxes[[1, 0]])
    merged = merge(parts, SIZE, dict(type='soft_nms', sigma=0.55))
    decay = math.exp(-1 / 0.55)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8, 0.7 * decay, 0.6 * decay], rel=1e-4)


@pytest.mark.parametrize('nms', [NMS, dict(type='soft_nms', method='naive', iou_threshold=0.5)], ids=str)
@pytest.mark.parametrize(('agnostic', 'labels'), [(False, [1, 2]), (True, [1])])
def test_classes_are_apart_unless_told_otherwise(nms, agnostic, labels):
    parts = [part([[0, 0, 40, 40]], [0.8], [1]), part([[0, 0, 40, 40]], [0.7], [2])]
    assert merge(parts, SIZE, dict(nms, class_agnostic=agnostic)).labels.tolist() == labels


@pytest.mark.parametrize(
    ('nms', 'decay'),
    [
        (NMS, lambda iou: float(iou <= 0.5)),
        (dict(type='soft_nms', method='naive', iou_threshold=0.5), lambda iou: float(iou <= 0.5)),
        (dict(type='soft_nms'), lambda iou: math.exp(-iou * iou / 0.55)),
        (dict(type='soft_nms', method='linear'), lambda iou: 1 - iou if iou > 0.3 else 1.0),
    ],
    ids=['nms', 'naive', 'gaussian', 'linear'],
)
@pytest.mark.parametrize('agnostic', [False, True])
def test_it_is_the_plain_loop(nms, decay, agnostic):
    for seed in range(3):
        bboxes, scores, labels = crowd(seed)
        views = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(seed))
        parts = [part(bboxes[views == n], scores[views == n], labels[views == n]) for n in range(4)]
        merged = merge(parts, SIZE, dict(nms, class_agnostic=agnostic))
        rows = zip(bboxes.tolist(), scores.tolist(), (labels * (not agnostic)).tolist(), strict=True)
        expected = plain_merge(rows, decay, 1e-3)
        assert merged.scores.tolist() == pytest.approx([one[1] for one in expected], rel=1e-4)
        assert torch.allclose(merged.bboxes, torch.tensor([one[0] for one in expected]))
        if not agnostic:
            assert merged.labels.tolist() == [one[2] for one in expected]


def test_without_nms_all_is_kept_best_first():
    bboxes, scores, labels = crowd(0)
    parts = [part(bboxes[:20], scores[:20], labels[:20]), part(bboxes[20:], scores[20:], labels[20:])]
    merged = merge(parts, SIZE, None)
    order = scores.argsort(descending=True)
    assert torch.equal(merged.bboxes, bboxes[order])
    assert torch.equal(merged.scores, scores[order])
    assert torch.equal(merged.labels, labels[order])
    assert torch.equal(parts[0].bboxes, bboxes[:20]), 'the views stay as they are'


@pytest.mark.parametrize('nms', [None, NMS, dict(type='soft_nms')], ids=str)
def test_only_good_ones_and_so_many(nms):
    boxes = torch.tensor([[50.0 * n, 0, 50 * n + 20, 20] for n in range(4)])
    found = [part(boxes, [0.2, 0.9, 0.4, 0.3])]
    assert merge(found, SIZE, nms, score_thr=0.3).scores.tolist() == pytest.approx([0.9, 0.4, 0.3])
    assert merge(found, SIZE, nms, max_per_img=2).scores.tolist() == pytest.approx([0.9, 0.4])
    assert len(merge(found, SIZE, nms, max_per_img=0)) == 0
    assert len(merge(found, SIZE, nms, max_per_img=-1)) == 4


def test_scores_lowered_below_the_threshold_are_dropped():
    found = [part([[0, 0, 40, 40], [0, 0, 40, 40]], [0.9, 0.5])]
    assert len(merge(found, SIZE, dict(type='soft_nms'), score_thr=0.05)) == 2
    assert len(merge(found, SIZE, dict(type='soft_nms'), score_thr=0.1)) == 1
    low = [part([[0, 0, 40, 40]], [1e-4])]
    assert len(merge(low, SIZE, dict(type='soft_nms'))) == 0, "soft-NMS' own limit"
    assert len(merge(low, SIZE, dict(type='soft_nms', min_score=0))) == 1
    unlimited = dict(type='soft_nms', min_score=0.0)
    assert merge(found, SIZE, unlimited, score_thr=0.1).scores.tolist() == pytest.approx([0.9])
    assert len(merge(found, SIZE, unlimited, score_thr=0.05)) == 2
    assert len(merge(low, SIZE, NMS)) == 1


@pytest.mark.parametrize(
    ('nms', 'message'),
    [
        (dict(iou_threshold=0.5), r"nms needs a type, such as dict\(type='soft_nms', sigma=0.55\)"),
        ('soft_nms', 'nms needs a type'),
        (dict(type='nms'), "'type': 'nms'.*does not work.*iou_threshold"),
        (dict(type='soft_nms', sigmma=0.5), 'does not work.*sigmma'),
        (dict(type='soft_nms', method='soft'), "does not work.*got 'soft'"),
        (dict(type='hard_nms'), 'does not work.*hard_nms'),
        # What an inheriting config makes of another nms.
        (dict(type='nms', iou_threshold=0.5, sigma=0.55), r'does not work.*sigma.*nms=dict\(_delete_=True, type='),
    ],
)
def test_a_bad_nms_is_named_at_once(nms, message):
    with pytest.raises(ValueError, match=message):
        check_nms(nms)
    for good in (None, NMS, dict(type='soft_nms'), dict(type='nms', iou_threshold=0.5, max_num=10)):
        check_nms(good)


def disc(view):
    """An image's mask (150, 200) with edges amid pixels, and what a view shows of it."""
    y, x = torch.meshgrid(torch.arange(150) + 0.5, torch.arange(200) + 0.5, indexing='ij')

    def inside(x, y):
        return ((x - 141) / 30) ** 2 + ((y - 92) / 20) ** 2 + 0.3 * torch.sin(x / 6) < 0.8

    x1, y1, x2, y2 = view.window
    xs = (torch.arange(view.shape[1]) + 0.5) / view.zoom[0] + x1
    ys = (torch.arange(view.shape[0]) + 0.5) / view.zoom[1] + y1
    shown = inside(*reversed(torch.meshgrid(ys, xs, indexing='ij')))
    shown = shown.flip(-1) if view.flip else shown
    return inside(x, y).numpy(), shown


VIEWS = [view for zoom in (1.0, 2.0, 3.3) for view in choose_views(0, SIZE, (zoom,), [(0.0, 65.0)], True, 320)]


@pytest.mark.parametrize('kind', ['pasted', 'pasted without boxes', 'probabilities'])
def test_masks_follow_their_boxes(kind):
    parts, whole = [], 0
    for view in VIEWS:
        expected, shown = disc(view)
        if not shown.any():
            continue
        masks = shown[None]
        box = mask2bbox(masks)[0]
        if kind == 'probabilities':
            x1, y1, x2, y2 = box.int().tolist()
            crop = shown[None, None, y1:y2, x1:x2].float()
            masks = torch.nn.functional.interpolate(crop, (112, 112), mode='bilinear')[0]
        found = seen(box[None] * (kind != 'pasted without boxes'), [0.5 + 0.001 * len(parts)], masks=masks)
        parts.append(from_view(found, view, SIZE, EVERY_SIZE))
        whole += len(parts[-1])
        for mask in merge([parts[-1]], SIZE, NMS).masks.astype(bool):
            assert (mask & expected).sum() / (mask | expected).sum() >= 0.98
    assert 6 <= whole < len(parts), 'some are cut by a tile'
    merged = merge(parts, SIZE, NMS)
    assert len(merged) == len(merged.masks) == 1
    mask = merged.masks[0].decode().astype(bool)
    assert (mask & expected).sum() / (mask | expected).sum() >= 0.98
    rows, columns = np.nonzero(mask)
    extent = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (merged.bboxes[0] - extent).abs().max() < 1.5
