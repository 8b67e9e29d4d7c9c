# Mosaic and MixUp, without which the last epochs go, as mmdet's recipe has them, but of chips, which nothing zooms.
_base_ = 'mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

_base_.train_dataloader.dataset.filter_cfg.filter_empty_gt = False  # such images give background chips
on_chips(_base_, max_epochs=100)
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)
