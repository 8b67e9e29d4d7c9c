"""YOLOX's head: what test_every_family.py does not ask of all families."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

from mmsniper.models import ValidRange


@pytest.fixture
def head():
    torch.manual_seed(0)
    cfg = dict(type='mmsniper.ValidRangeYOLOXHead', num_classes=2, in_channels=8, feat_channels=8, strides=[8, 16])
    return MODELS.build(dict(cfg, train_cfg=dict(assigner=dict(type='SimOTAAssigner'))))


def objectness_targets(head, bboxes, valid, regions):
    """Targets (N,) of objectness, and cells (N, 4) of a chip of 64 px."""
    cls_scores, bbox_preds, objectness = head([torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)])
    priors = torch.cat(head.prior_generator.grid_priors([(8, 8), (4, 4)], device='cpu', with_stride=True))
    flat = [torch.cat([level[0].flatten(1).T for level in levels]) for levels in (cls_scores, bbox_preds, objectness)]
    bboxes = torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4)
    gt = InstanceData(
        bboxes=bboxes, labels=torch.zeros(len(bboxes), dtype=torch.long), valid=torch.tensor(valid).bool()
    )
    gt.set_metainfo(dict(valid_range=(0.0, 64.0)))
    ignored = InstanceData(bboxes=torch.tensor(regions, dtype=torch.float).reshape(-1, 4))
    decoded = head._bbox_decode(priors, flat[1])
    targets = head._get_targets_single(priors, flat[0], decoded, flat[2][:, 0], gt, {}, ignored)
    return targets[2][:, 0], torch.cat([priors[:, :2], priors[:, :2] + priors[:, 2:]], 1)


@pytest.mark.parametrize('boxes', [[], [[40, 40, 56, 56]]], ids=['alone', 'beside an object'])
def test_cells_in_a_region_are_left_out(head, boxes):
    """Without ground truth, too, where mmdet asks no assigner."""
    found, cells = objectness_targets(head, boxes, [True] * len(boxes), [[0, 0, 32, 64]])
    left = cells[:, 2] <= 32
    assert (found[left] == -1).all()
    assert (found[~left] >= 0).all()
    assert (found[~left] == 1).any() == bool(boxes)


def test_objects_without_valid_ones(head):
    found, cells = objectness_targets(head, [[8, 8, 40, 40]], [False], [])
    assert set(found.tolist()) == {-1, 0}
    assert (found[(cells[:, :2] >= 48).all(1)] == 0).all()


def test_an_assigner_that_goes_by_valid_range_stays_as_it_is(head):
    assert isinstance(head.assigner, ValidRange)
    chosen = dict(type='mmsniper.ValidRange', assigner='SimOTAAssigner', invalid_iou_thr=0.5)
    cfg = dict(type='mmsniper.ValidRangeYOLOXHead', num_classes=2, in_channels=8, feat_channels=8)
    built = MODELS.build(dict(cfg, train_cfg=dict(assigner=chosen)))
    assert built.assigner.invalid_iou_thr == 0.5
    assert type(built.assigner.assigner).__name__ == 'SimOTAAssigner'


def test_an_objectness_loss_that_would_learn_what_is_left_out_is_refused():
    cfg = dict(type='mmsniper.ValidRangeYOLOXHead', num_classes=2, in_channels=8, loss_obj=dict(type='MSELoss'))
    with pytest.raises(ValueError, match='bbox_head.loss_obj has to leave out .*; got MSELoss'):
        MODELS.build(cfg)
