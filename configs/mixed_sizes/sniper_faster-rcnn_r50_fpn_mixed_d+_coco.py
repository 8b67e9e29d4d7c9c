# Of small chips several differently augmented copies in one batch, of all sizes as many as go through the usual pixels:
# 16 twice, 18 and 8.
_base_ = 'sniper_faster-rcnn_r50_fpn_mixed_b+_coco.py'
# With flips alone half of the copies would be the same.
train_pipeline = [*_base_.train_pipeline[:-1], dict(type='PhotoMetricDistortion'), _base_.train_pipeline[-1]]
train_dataloader = dict(batch_sampler=dict(regime='D+'), dataset=dict(pipeline=train_pipeline))
# Copies are no other chips: one rate.
custom_hooks = [dict(type='mmsniper.BatchNormCalibrationHook')]
