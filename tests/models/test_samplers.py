import pytest
import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmsniper.models import ValidRangeSampler


def sample(gt_inds, bboxes, valid, valid_range=(10.0, 50.0), **kwargs):
    n = len(gt_inds)
    gt_inds = torch.tensor(gt_inds, dtype=torch.long)
    labels = torch.arange(len(bboxes)) + 5
    result = AssignResult(
        num_gts=len(bboxes),
        gt_inds=gt_inds,
        max_overlaps=torch.zeros(n),
        labels=torch.tensor([labels[g - 1] if g > 0 else -1 for g in gt_inds], dtype=torch.long),
    )
    gt = InstanceData(
        bboxes=torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4),
        labels=labels,
        valid=torch.tensor(valid, dtype=torch.bool),
        metainfo=dict(valid_range=valid_range),
    )
    return ValidRangeSampler(**kwargs).sample(result, InstanceData(priors=torch.arange(4.0 * n).reshape(n, 4)), gt)


def test_all_positives_and_all_background_are_taken():
    taken = sample([0, 1, -1, 0, 1, 0], [[0, 0, 20, 20]], [True], add_gt_as_proposals=False)
    assert taken.pos_inds.tolist() == [1, 4]
    assert taken.neg_inds.tolist() == [0, 3, 5]
    assert taken.pos_gt_labels.tolist() == [5, 5]


@pytest.mark.parametrize(
    ('num', 'positives', 'background'),
    [(-1, [1, 4], [0, 3, 5]), (9, [1, 4], [0, 3, 5]), (3, [1], [0, 3]), (1, [], [0])],
)
def test_the_best_of_those_not_left_out_are_taken(num, positives, background):
    taken = sample([0, 1, -1, 0, 1, 0], [[0, 0, 20, 20]], [True], add_gt_as_proposals=False, num=num)
    assert taken.pos_inds.tolist() == positives
    assert taken.neg_inds.tolist() == background
    # Ground truth is not counted: it comes on top.
    appended = sample([0, 1, -1, 0, 1, 0], [[0, 0, 20, 20]], [True], num=num)
    assert len(appended.pos_priors) == len(positives) + 1


@pytest.mark.parametrize('num', [0, -2, 2.5, True, None])
def test_a_malformed_number_is_refused(num):
    with pytest.raises(ValueError, match='num is how many proposals train the head'):
        ValidRangeSampler(num=num)


def test_ground_truth_is_appended_in_range_only():
    boxes = [[0, 0, 20, 20], [0, 0, 60, 60], [0, 0, 9, 9], [0, 0, 100, 6], [0, 0, 10, 10], [0, 0, 50, 50]]
    # In range; too large; too small; out of range but valid (a long thin one, rescued); on the borders: lo in, hi out.
    valid = [True, False, False, True, False, False]
    boxes[3] = [0, 0, 900, 6]
    taken = sample([0, 2], boxes, valid)
    assert taken.pos_priors[:3].tolist() == [boxes[0], boxes[3], boxes[4]]
    assert taken.pos_assigned_gt_inds.tolist() == [0, 3, 4, 1]
    assert taken.pos_gt_labels.tolist() == [5, 8, 9, 6]
    assert taken.pos_is_gt.tolist() == [1, 1, 1, 0]
    assert len(taken.neg_priors) == 1


@pytest.mark.parametrize('boxes', [[], [[0, 0, 99, 99]]])
def test_nothing_to_append(boxes):
    taken = sample([0, -1], boxes, [False] * len(boxes))
    assert len(taken.pos_priors) == 0
    assert taken.neg_inds.tolist() == [0]


def test_no_proposals():
    taken = sample([], [[0, 0, 20, 20]], [True])
    assert taken.pos_priors.tolist() == [[0, 0, 20, 20]]


def test_mmdet_heads_can_build_it():
    assert TASK_UTILS.build(dict(type='mmsniper.ValidRangeSampler'), default_args=dict(context=None))


def test_in_mixed_chips_ground_truth_is_appended_by_the_range_of_its_own_chip():
    gt = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 20], [0, 0, 60, 60]]),
        labels=torch.arange(3),
        valid=torch.zeros(3, dtype=torch.bool),
        chip_idx=torch.tensor([0, 1, 1]),
        metainfo=dict(valid_range=[(10.0, 50.0), (50.0, 90.0)]),
    )
    nothing = AssignResult(3, torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    taken = ValidRangeSampler().sample(nothing, InstanceData(priors=torch.zeros(0, 4)), gt)
    assert taken.pos_gt_labels.tolist() == [0, 2]
