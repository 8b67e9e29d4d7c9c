# The demo's detector in batches of 21, 12 and 8 chips of 192, 256 and 320 px, all of the same pixels.
_base_ = '../demo/sniper_tiny_shapes.py'
train_dataloader = dict(
    batch_size=12,
    batch_sampler=dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(192, 0.3), (256, 0.5), (320, 0.2)], regime='B+', keep='view'
    ),
)
auto_scale_lr = dict(base_batch_size=12)
custom_hooks = [
    # AdamW: the root of the proportion.
    dict(type='mmsniper.BatchRateHook', rule='sqrt'),
    dict(type='mmsniper.BatchNormCalibrationHook', chips=128),
]
