# Of small chips several differently augmented copies in one batch, of all sizes as many as go through the usual pixels.
_base_ = 'sniper_faster-rcnn_r50_fpn_mixed_b+_coco.py'
train_dataloader = dict(batch_sampler=dict(regime='D+'))
# Copies are no other chips: one rate.
custom_hooks = [dict(type='mmsniper.BatchNormCalibrationHook')]
