"""Heads for queries: what test_every_family.py does not ask of all families."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmsniper.inherit import label_by_range

BOXES = [[10.0, 12.0, 60.0, 70.0], [64.0, 60.0, 100.0, 120.0], [20.0, 80.0, 50.0, 110.0]]


def sample(valid):
    """Ground truth of a chip of 128 px."""
    gt = InstanceData(
        bboxes=torch.tensor(BOXES[: len(valid)]).reshape(-1, 4),
        labels=torch.arange(len(valid)) % 2,
        valid=torch.tensor(valid, dtype=torch.bool),
        metainfo=dict(valid_range=(0.0, 64.0)),
    )
    return DetDataSample(metainfo=dict(img_shape=(128, 128), batch_input_shape=(128, 128)), gt_instances=gt)


@pytest.fixture
def dino(detector_cfg):
    """Builds a DINO of ours, but for what is changed."""

    def build(**changes):
        cfg = detector_cfg('dino')
        label_by_range(cfg)
        cfg.update(changes)
        model = MODELS.build(cfg)
        model.init_weights()
        return model.train()

    return build


@pytest.mark.parametrize(
    ('valid', 'queries'), [([True, False, True], 2 * 2 * 5), ([False, True], 2 * 10), ([False], 0)]
)
def test_denoising_queries_are_of_valid_objects(dino, valid, queries):
    """In pairs, one of them negative, in as many groups as make 10 of the valid objects; and so are their targets."""
    model, shapes = dino(), []
    model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(kwargs['query'].shape), with_kwargs=True
    )
    losses = model.loss(torch.zeros(2, 3, 128, 128), [sample(valid), sample([False, False])])
    assert shapes == [(2, 30 + queries, 256)]
    assert (losses['dn_loss_bbox'] > 0) == any(valid)
    assert all(torch.isfinite(value).all() for value in losses.values())


def test_a_dino_that_denoises_invalid_objects_too_is_refused(dino):
    """Even where as many queries were made as of valid ones."""
    with pytest.raises(ValueError, match=r"model=dict\(type='mmsniper.ValidRangeDINO'"):
        dino(type='DINO').loss(torch.zeros(2, 3, 128, 128), [sample([True] * 3), sample([False, False, True])])


@pytest.mark.parametrize('weights', [dict(class_weight=1.0, bg_cls_weight=0.1), dict(class_weight=2.0), dict()])
def test_detr_weighs_the_background_as_mmdet_does(weights):
    """Which does so in no class that inherits its head."""
    loss = dict(type='CrossEntropyLoss', **weights)
    ours, theirs = (
        MODELS.build(dict(type=kind, num_classes=3, loss_cls=dict(loss)))
        for kind in ('mmsniper.ValidRangeDETRHead', 'DETRHead')
    )
    assert ours.bg_cls_weight == theirs.bg_cls_weight
    scores, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 3])
    assert torch.allclose(ours.loss_cls(scores, labels), theirs.loss_cls(scores, labels))
