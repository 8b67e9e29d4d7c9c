_base_ = 'mmdet::tood/tood_r50_fpn_1x_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

_base_.train_dataloader.dataset.filter_cfg.filter_empty_gt = False  # such images give background chips
on_chips(_base_, max_epochs=7)
model = dict(backbone=dict(norm_eval=False))
# Losses on thousands of anchors: half of the learning rate of 128 chips, and bounded gradients.
optim_wrapper = dict(optimizer=dict(lr=0.0075), clip_grad=dict(max_norm=35))
auto_scale_lr = dict(base_batch_size=128)
