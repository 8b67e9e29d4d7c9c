# From random weights ("Rethinking ImageNet Pre-training"): group normalization everywhere, and six times as long.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'

norm_cfg = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, zero_init_residual=False, norm_cfg=norm_cfg, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg)),
)
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))
train_cfg = dict(max_epochs=42)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=42, milestones=[34, 39], gamma=0.1),
]
