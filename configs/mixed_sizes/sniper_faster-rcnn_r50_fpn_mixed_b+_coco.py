# Batches of small, usual and large chips, with as many chips as go through the usual pixels: 28, 16 and 7.
_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_coco.py'
train_dataloader = dict(
    batch_sampler=dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(384, 0.3), (512, 0.5), (768, 0.2)], regime='B+', keep='view'
    )
)
custom_hooks = [
    # The rate of a step in proportion to its chips, of the optimizer's for 16; leave it out for one rate.
    dict(type='mmsniper.BatchRateHook', rule='linear'),
    # calibrated.pth: batch norm for the test at one scale, whose averages here are of all sizes.
    dict(type='mmsniper.BatchNormCalibrationHook'),
]
