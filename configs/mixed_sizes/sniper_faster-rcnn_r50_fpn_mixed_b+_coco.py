# Batches of small, usual and large chips, with as many chips as go through the usual pixels: 32, 18 and 8.
_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_coco.py'
train_dataloader = dict(
    # For which all sizes have whole numbers of chips, and batch norm 8 or more.
    batch_size=18,
    batch_sampler=dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(384, 0.3), (512, 0.5), (768, 0.2)], regime='B+', keep='view'
    ),
)
custom_hooks = [
    # The rate of a step in proportion to its chips, of the optimizer's for 18; leave it out for one rate.
    dict(type='mmsniper.BatchRateHook', rule='linear'),
    # calibrated.pth: batch norm for the test at one scale, whose averages here are of all sizes.
    dict(type='mmsniper.BatchNormCalibrationHook'),
]
# That of 8 GPUs with 16 chips each, for 18.
optim_wrapper = dict(optimizer=dict(lr=0.0169))
auto_scale_lr = dict(base_batch_size=144)
