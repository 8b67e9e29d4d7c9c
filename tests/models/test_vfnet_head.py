"""VFNet's head: what test_every_family.py does not ask of all families."""

import pytest
from mmdet.registry import MODELS

CFG = dict(type='mmsniper.ValidRangeVFNetHead', num_classes=2, in_channels=32, feat_channels=32)


def test_labels_of_points_are_refused():
    with pytest.raises(ValueError, match='leave use_atss=True, or use mmsniper.ValidRangeFCOSHead'):
        MODELS.build(dict(CFG, use_atss=False))


def test_without_training_settings_it_can_be_built():
    assert not hasattr(MODELS.build(CFG), 'assigner')


def test_with_focal_loss_mmdet_weighs_by_itself():
    focal = dict(type='FocalLoss', use_sigmoid=True)
    assert type(MODELS.build(dict(CFG, use_vfl=False, loss_cls=focal)).loss_cls).__name__ == 'FocalLoss'
