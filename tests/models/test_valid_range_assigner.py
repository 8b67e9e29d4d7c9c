"""ValidRange around each of mmdet's assigners, on cases made by hand."""

import pytest
import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from mmsniper.models import ValidRange
from mmsniper.models.valid_range import leave_out_background

SIDE = 128
SMALL, LARGE, AROUND, FAR = [25, 26, 39, 43], [16, 16, 72, 72], [20, 22, 44, 47], [89, 90, 103, 107]
COSTS = [dict(type='FocalLossCost', weight=2.0), dict(type='BBoxL1Cost', weight=5.0), dict(type='IoUCost', weight=2.0)]
ASSIGNERS = dict(
    anchors=dict(assigner='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.2, gt_max_assign_all=False),
    atss=dict(assigner='ATSSAssigner', topk=4),
    tood=dict(assigner='TaskAlignedAssigner', topk=5),
    rtmdet=dict(assigner='DynamicSoftLabelAssigner', topk=5),
    yolox=dict(assigner='SimOTAAssigner'),
    detr=dict(assigner='HungarianAssigner', match_costs=COSTS),
)


def grid(size):
    """Centres and strides, (N, 4), of two levels; anchors of `size` strides around them."""
    levels = []
    for stride in (8, 16):
        along = torch.arange(stride / 2, SIDE, stride)
        y, x = torch.meshgrid(along, along, indexing='ij')
        levels.append(torch.stack([x, y, torch.full_like(x, stride), torch.full_like(x, stride)], -1).reshape(-1, 4))
    points = torch.cat(levels)
    half = points[:, 2:] * size / 2
    return points, torch.cat([points[:, :2] - half, points[:, :2] + half], 1), [len(level) for level in levels]


class Labeller:
    """Asks an assigner about a detector that sees everything: each point predicts the smallest object it is in."""

    def __init__(self, name, **changes):
        self.name = name
        self.assigner = TASK_UTILS.build({**ASSIGNERS[name], 'type': 'mmsniper.ValidRange', **changes})
        self.points, anchors, self.levels = grid(2)
        self.anchors = name in ('anchors', 'atss', 'tood')
        self.priors = anchors if self.anchors else self.points
        self.cells = grid(1)[1]

    def __call__(self, bboxes, valid, regions=None, ranges=(0.0, 64.0), chip_idx=None, labels=None):
        """Labels of all priors: the number of the object, 0 background, -1 left out."""
        bboxes = torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4)
        labels = torch.zeros(len(bboxes), dtype=torch.long) if labels is None else torch.tensor(labels)
        gt = InstanceData(bboxes=bboxes, labels=labels, valid=torch.tensor(valid, dtype=torch.bool))
        gt.set_metainfo(dict(valid_range=ranges))
        if chip_idx:
            gt.chip_idx = torch.tensor(chip_idx)
        self.predicted = self.cells.clone()
        scores = torch.full((len(self.points), 2), 0.05)
        areas = (bboxes[:, 2:] - bboxes[:, :2]).prod(1)
        for n in areas.argsort(descending=True).tolist():
            x, y = self.points[:, :2].T
            inside = (x > bboxes[n, 0]) & (y > bboxes[n, 1]) & (x < bboxes[n, 2]) & (y < bboxes[n, 3])
            self.predicted[inside] = bboxes[n]
            scores[inside, labels[n]] = 0.9
        if self.name in ('rtmdet', 'detr'):
            scores = scores.logit()
        instances = InstanceData(bboxes=self.predicted, scores=scores)
        ignored = InstanceData(bboxes=torch.tensor(regions or [], dtype=torch.float).reshape(-1, 4))
        if self.name == 'detr':
            gt.set_metainfo(dict(regions=ignored.bboxes))
            self.result = self.assigner.assign(
                pred_instances=instances, gt_instances=gt, img_meta=dict(img_shape=(SIDE, SIDE))
            )
        else:
            instances.priors = self.priors
            levels = [self.levels] if self.name == 'atss' else []
            self.result = self.assigner.assign(instances, *levels, gt, ignored)
        return self.result.gt_inds


@pytest.fixture(params=ASSIGNERS)
def label(request):
    return Labeller(request.param)


def test_without_objects_all_is_background(label):
    assert (label([], []) == 0).all()


def test_a_valid_object_has_what_the_assigner_gives(label):
    found = label([SMALL], [True])
    assert set(found.tolist()) - {-1} == {0, 1}  # MaxIoUAssigner itself leaves out what is neither
    assert (label.result.labels[found == 1] == 0).all()


def test_an_invalid_object_has_no_positives_and_no_background(label):
    as_valid, found = label([SMALL], [True]) == 1, label([SMALL], [False])
    assert set(found.tolist()) == {-1, 0}
    assert (found[as_valid] == -1).all()
    if not label.anchors:  # every prediction of it, whatever the assigner would have chosen
        assert (found[(label.predicted == torch.tensor(SMALL)).all(1)] == -1).all()


def test_truncated_and_alone_or_beside_a_valid_one_is_the_same(label):
    """An object that the chip cuts is invalid: numbers point into all objects, and the valid one keeps what is its."""
    alone, found = label([FAR], [True]), label([[0, 24, 16, 40], FAR], [False, True])
    assert torch.equal(found == 2, alone == 1)
    assert (found == -1).sum() > (alone == -1).sum()
    assert label.result.num_gts == 2


@pytest.mark.parametrize('behind', [LARGE, AROUND], ids=['large', 'near'])
def test_a_valid_object_in_front_of_an_invalid_one_keeps_its_positives(label, behind):
    alone = label([SMALL], [True])
    # Predictions are the same but for what the object behind adds; the assigner sees the valid one alone.
    found = label([behind, SMALL], [False, True])
    assert (found == 2).any()
    if label.anchors:
        assert torch.equal(found == 2, alone == 1)
    assert (found == -1).sum() > (alone == -1).sum()


def test_ignored_regions_are_nobodys_background(label):
    for boxes, valid in (([], []), ([[9, 10, 23, 27]], [True]), ([[9, 10, 23, 27]], [False])):
        found = label(boxes, valid, [[0, 0, 64, SIDE]])
        box = label.priors if label.anchors else label.cells if label.name != 'detr' else label.predicted
        inside, outside = (box[:, 2] <= 64) & (box[:, 1] >= 0) & (box[:, 0] >= 0) & (box[:, 3] <= SIDE), box[:, 0] >= 64
        assert inside.any() and (found[inside] != 0).all()
        assert outside.any() and (found[outside] == 0).all()
        assert (found == 1).any() == any(valid)


def test_in_mixed_chips_each_object_has_its_own_flag(label):
    """What is valid is decided per object where chips are cut, and not by ranges here."""
    mixed = dict(ranges=[(0.0, 64.0), (64.0, 128.0)], chip_idx=[1, 0])
    assert torch.equal(label([SMALL, FAR], [False, True], **mixed), label([SMALL, FAR], [False, True]))


def test_nothing_but_the_numbers_of_the_assigners_result_changes(label):
    """Labels, overlaps and metrics are of the same priors."""
    found = label([FAR, SMALL, [64, 8, 96, 32]], [True, False, True], labels=[1, 0, 0])
    ours, valid = label.result, [FAR, [64, 8, 96, 32]]
    alone = label(valid, [True, True], labels=[1, 0])
    assert torch.equal(found == 1, alone == 1) and torch.equal(found == 3, alone == 2)
    assert torch.equal(ours.labels[found > 0], label.result.labels[alone > 0])
    assert set(ours.labels[found == 1].tolist()) == {1}
    for name in ('max_overlaps', 'assign_metrics'):
        if getattr(ours, name, None) is not None:
            assert torch.equal(getattr(ours, name)[found > 0], getattr(label.result, name)[alone > 0])


def test_thresholds():
    found = Labeller('detr', invalid_iou_thr=0.99)([AROUND], [False])
    assert (found == -1).any()
    box = [24, 22, 44, 47]  # 500 of the prediction's 600 square pixels
    for thr, left_out in ((0.83, True), (0.84, False)):
        label = Labeller('detr', invalid_iou_thr=thr)
        gt = InstanceData(bboxes=torch.tensor([box]).float(), labels=torch.zeros(1).long(), valid=torch.tensor([False]))
        gt.set_metainfo(dict(valid_range=(0.0, 64.0)))
        one = InstanceData(bboxes=torch.tensor([AROUND]).float(), scores=torch.zeros(1, 2))
        found = label.assigner.assign(one, gt, img_meta=dict(img_shape=(SIDE, SIDE))).gt_inds
        assert (found == -1).all() == left_out


def test_where_paa_looks_for_candidates_near_an_invalid_object_is_left_out():
    """Its assigner gives away whatever overlaps by 0.1."""
    label = Labeller('anchors')
    paa = dict(type='mmsniper.ValidRange', assigner='MaxIoUAssigner', pos_iou_thr=0.1, neg_iou_thr=0.1, min_pos_iou=0)
    usual, label.assigner = label([SMALL], [False]), TASK_UTILS.build(paa)
    as_valid, found = label([SMALL], [True]), label([SMALL], [False])
    assert torch.equal(as_valid == 1, found == -1)
    assert (found == -1).sum() > (usual == -1).sum() > 0


@pytest.mark.parametrize(
    'cfg',
    [
        dict(assigner='ATSSAssigner', topk=4),
        dict(assigner=dict(type='ATSSAssigner', topk=4)),
        dict(assigner=TASK_UTILS.build(dict(type='mmdet.ATSSAssigner', topk=4))),
    ],
    ids=['name', 'config', 'built'],
)
def test_an_assigner_by_name_by_config_or_built(cfg):
    built = TASK_UTILS.build(dict(type='mmsniper.ValidRange', invalid_iou_thr=0.2, **cfg))
    assert (type(built.assigner).__name__, built.assigner.topk, built.invalid_iou_thr) == ('ATSSAssigner', 4, 0.2)


@pytest.mark.parametrize(
    ('cfg', 'said'),
    [
        (dict(topk=4), r"write dict\(type='mmsniper\.ValidRange', assigner='ATSSAssigner'\)"),
        (dict(assigner=dict(type='ATSSAssigner'), topk=4), 'topk: settings of which assigner.*_delete_=True'),
    ],
)
def test_what_does_not_say_which_assigner_is_refused(cfg, said):
    with pytest.raises(ValueError, match=said):
        ValidRange(**cfg)


@pytest.mark.parametrize('name', ['ValidRangeAssigner', 'ValidRangeATSSAssigner'])
def test_former_names(name):
    """Alone, and merged into a config that has the new name."""
    kind, settings = dict(
        ValidRangeAssigner=('MaxIoUAssigner', dict(pos_iou_thr=0.5, neg_iou_thr=0.4)),
        ValidRangeATSSAssigner=('ATSSAssigner', dict(topk=9)),
    )[name]
    for cfg in (settings, dict(settings, assigner=kind)):
        built = TASK_UTILS.build(dict(type=f'mmsniper.{name}', **cfg))
        assert isinstance(built, ValidRange)
        assert type(built.assigner).__name__ == kind
    by_place = TASK_UTILS.get(f'mmsniper.{name}')(*settings.values(), region_iof_thr=0.7)
    assert all(getattr(by_place.assigner, key) == value for key, value in settings.items())
    assert by_place.region_iof_thr == 0.7


def test_an_assigner_of_nothing_is_refused():
    for wrong in (9, ValidRange(assigner='ATSSAssigner', topk=9)):
        with pytest.raises(TypeError, match="ValidRange's assigner is one of mmdet's"):
            ValidRange(wrong)


def test_a_query_nearer_to_a_valid_object_than_to_an_invalid_one_is_background():
    """DETR learns from this alone that an object has its query already."""
    valid, beside = [0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 40.0, 80.0]
    predicted = InstanceData(bboxes=torch.tensor([valid, valid, beside]), scores=torch.tensor([[0.9], [0.8], [0.7]]))
    gt = InstanceData(
        bboxes=torch.tensor([valid, beside]),
        labels=torch.tensor([0, 0]),
        valid=torch.tensor([True, False]),
        metainfo=dict(valid_range=(0.0, 50.0)),
    )
    costs = [dict(type='ClassificationCost', weight=1.0)]
    assigner = ValidRange('HungarianAssigner', match_costs=costs)
    found = assigner.assign(pred_instances=predicted, gt_instances=gt, img_meta=dict(img_shape=(100, 100)))
    assert found.gt_inds.tolist() == [1, 0, -1]


def test_what_gives_no_boxes_is_refused():
    costs = [dict(type='ClassificationCost', weight=1.0)]
    with pytest.raises(TypeError, match='TopkHungarianAssigner does not take pred_instances'):
        ValidRange('TopkHungarianAssigner', topk=4)
    masks = InstanceData(masks=torch.zeros(1, 9, 9), labels=torch.tensor([0]))
    with pytest.raises(ValueError, match='HungarianAssigner in a head that gives it no boxes'):
        ValidRange('HungarianAssigner', match_costs=costs).assign(masks, masks, None)


def test_what_a_tiny_invalid_object_would_be_given_by_low_quality_is_no_background():
    """RetinaNet gives each object its best anchor, however little that overlaps."""
    ours = Labeller('anchors', min_pos_iou=0.0)
    labels = ours([[58, 58, 66, 66]], [False])
    overlaps = bbox_overlaps(ours.priors, torch.tensor([[58.0, 58, 66, 66]]))[:, 0]
    assert overlaps.max() < 0.3
    assert (labels[overlaps == overlaps.max()] == -1).any()
    assert (labels == 0).sum() > 100


def test_a_large_invalid_object_is_left_out_in_half_precision():
    """The area of its box is infinite there."""
    result = AssignResult(1, torch.zeros(2, dtype=torch.long), torch.zeros(2), torch.zeros(2, dtype=torch.long))
    boxes = torch.tensor([[5.0, 5, 500, 500], [0, 0, 20, 20]])
    leave_out_background(result, boxes.half(), boxes[:1], 0.3, 'iou')
    assert result.gt_inds.tolist() == [-1, 0]
