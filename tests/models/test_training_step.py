"""One training step of real detectors on chips that mix every kind of ground truth."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

TINY = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16), bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=2)
    ),
)
MASK_HEAD = dict(
    type='MaskRCNN',
    roi_head=dict(
        mask_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=1,
            in_channels=16,
            conv_out_channels=16,
            num_classes=2,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
)


@pytest.fixture
def model_cfg(configs):
    cfg = Config.fromfile(configs / '_base_/models/sniper_faster-rcnn_r50_fpn.py')
    cfg.merge_from_dict(dict(model=TINY))
    return cfg


def step(model, chips):
    """Losses of one batch, after checking that gradients are finite."""
    batch = model.data_preprocessor(pseudo_collate(chips), training=True)
    losses = model(**batch, mode='loss')
    total, flat = model.parse_losses(losses)
    model.zero_grad()
    total.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in flat.values()), flat
    return flat


@pytest.mark.smoke
@pytest.mark.parametrize('masks', [False, True], ids=['faster-rcnn', 'mask-rcnn'])
def test_a_step_on_mixed_chips_is_finite(model_cfg, mixed_chips, masks):
    if masks:
        model_cfg.merge_from_dict(dict(model=MASK_HEAD))
    torch.manual_seed(0)
    model = MODELS.build(model_cfg.model).train()
    valid = [chip['data_samples'].gt_instances.valid for chip in mixed_chips]
    assert any(v.any() for v in valid), 'some chips teach'
    assert any((~v).any() for v in valid), 'some objects are out of range'
    assert any(len(v) == 0 for v in valid), 'some chips are background'
    assert any(len(chip['data_samples'].ignored_instances.bboxes) for chip in mixed_chips), 'some have a crowd'
    losses = step(model, mixed_chips)
    assert losses['loss_bbox'] > 0
    assert not masks or losses['loss_mask'] > 0
    for chip in mixed_chips:  # and each kind alone
        assert step(model, [chip])['loss_cls'] > 0


@pytest.mark.parametrize('masks', [False, True], ids=['faster-rcnn', 'mask-rcnn'])
def test_chips_without_objects_train_as_background(model_cfg, mixed_chips, masks):
    if masks:
        model_cfg.merge_from_dict(dict(model=MASK_HEAD))
    torch.manual_seed(0)
    model = MODELS.build(model_cfg.model).train()
    empty = [chip for chip in mixed_chips if is_empty(chip)]
    full = next(chip for chip in mixed_chips if chip['data_samples'].gt_instances.valid.any())
    assert len(empty) == 1, 'one image has no objects'

    losses = step(model, empty * 2)
    assert losses['loss_rpn_cls'] > 0
    assert losses['loss_rpn_bbox'] == 0
    assert losses['loss_cls'] > 0
    assert losses['loss_bbox'] == 0
    assert not masks or losses['loss_mask'] == 0
    assert model.roi_head.bbox_head.fc_cls.weight.grad.abs().sum() > 0

    losses = step(model, [*empty, full])
    assert losses['loss_rpn_cls'] > 0
    assert losses['loss_rpn_bbox'] > 0
    assert losses['loss_cls'] > 0
    assert losses['loss_bbox'] > 0
    assert not masks or losses['loss_mask'] > 0


def test_background_chips_alone_teach_not_to_fire(model_cfg, mixed_chips):
    torch.manual_seed(0)
    model = MODELS.build(model_cfg.model).train()
    empty = [chip for chip in mixed_chips if is_empty(chip)] * 2
    optimizer = torch.optim.AdamW(model.parameters(), 0.002)
    first = step(model, empty)
    optimizer.step()
    for _ in range(10):
        last = step(model, empty)
        optimizer.step()
    assert last['loss_rpn_cls'] < 0.5 * first['loss_rpn_cls']
    assert last['loss_cls'] < 0.5 * first['loss_cls']


def is_empty(chip):
    sample = chip['data_samples']
    return len(sample.gt_instances) == len(sample.ignored_instances) == 0


def test_training_lowers_the_loss(model_cfg, mixed_chips):
    torch.manual_seed(0)
    model = MODELS.build(model_cfg.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.002)
    totals = []
    for _ in range(25):
        totals.append(step(model, mixed_chips)['loss'].item())
        optimizer.step()
    assert sum(totals[-5:]) < 0.6 * sum(totals[:5])
