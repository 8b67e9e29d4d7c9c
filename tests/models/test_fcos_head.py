import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

RANGE = (0.0, 64.0)


@pytest.fixture
def head():
    torch.manual_seed(0)
    levels = dict(strides=[8, 16], regress_ranges=((-1, 32), (32, 1e8)))
    return MODELS.build(
        dict(type='mmsniper.ValidRangeFCOSHead', num_classes=3, in_channels=8, feat_channels=8, **levels, norm_cfg=None)
    )


def truth(bboxes, valid):
    bboxes = torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4)
    labels = torch.arange(len(bboxes)) % 3
    return InstanceData(
        bboxes=bboxes, labels=labels, valid=torch.tensor(valid, dtype=torch.bool), metainfo=dict(valid_range=RANGE)
    )


def labels(head, gt, regions=()):
    """Labels of a 16 x 16 and an 8 x 8 grid on a chip of 128 px."""
    gt.set_metainfo(dict(regions=torch.tensor(regions, dtype=torch.float).reshape(-1, 4)))
    points = head.prior_generator.grid_priors([(16, 16), (8, 8)], device='cpu')
    found, _ = head.get_targets(points, [gt])
    return torch.cat(found), torch.cat(points)


def test_valid_objects_make_positives_and_invalid_ones_no_background(head):
    boxes = [[8, 8, 40, 40], [72, 72, 104, 104]]
    both, _ = labels(head, truth(boxes, [True, True]))
    one, points = labels(head, truth(boxes, [False, True]))
    assert (both == 0).any()
    assert torch.equal(one == 1, both == 1)
    assert torch.equal(one == -1, both == 0)
    none, _ = labels(head, truth(boxes, [False, False]))
    assert torch.equal(none == -1, both != 3)
    # Inside the invalid box, on a level that is not for its size, is background as in FCOS itself.
    inside = ((points > 8) & (points < 40)).all(1)
    assert (one[inside] == 3).any()


def test_a_valid_object_in_front_of_an_invalid_one_keeps_its_points(head):
    alone, _ = labels(head, truth([[40, 40, 56, 56]], [True]))
    before, _ = labels(head, truth([[40, 40, 56, 56], [24, 24, 72, 72]], [True, False]))
    assert (alone == 0).any()
    assert torch.equal(alone == 0, before == 0)
    assert (before == -1).any()


def test_regions_are_nobodys_background(head):
    found, points = labels(head, truth([[8, 8, 24, 24]], [True]), [[0, 0, 64, 128]])
    left = points[:, 0] < 64
    assert set(found[left].tolist()) == {-1, 0}
    assert set(found[~left].tolist()) == {3}


def loss(head, features, gt, regions):
    ignored = [InstanceData(bboxes=torch.tensor(regions, dtype=torch.float).reshape(-1, 4))]
    return head.loss_by_feat(*head(features), [gt], [dict()], ignored)


def test_points_left_out_add_nothing_to_the_loss(head):
    features = [torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)]
    everywhere = loss(head, features, truth([], []), [[0, 0, 128, 128]])
    assert everywhere['loss_cls'] == 0
    assert all(torch.isfinite(value) for value in everywhere.values())
    nowhere, half = (loss(head, features, truth([], []), box)['loss_cls'] for box in ([], [[0, 0, 64, 128]]))
    assert 0 < half < nowhere
    sum(everywhere.values()).backward()


def test_ground_truth_of_another_pipeline_is_refused(head):
    gt = InstanceData(bboxes=torch.rand(1, 4), labels=torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match='PackChipInputs'):
        head.get_targets(head.prior_generator.grid_priors([(16, 16), (8, 8)], device='cpu'), [gt])
