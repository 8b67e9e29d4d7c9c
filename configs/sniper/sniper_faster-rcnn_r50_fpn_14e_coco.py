# Twice as long, for networks that still gain at 7 epochs.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
train_cfg = dict(max_epochs=14)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=14, milestones=[10, 13], gamma=0.1),
]
