# Epochs of half the resolution, drawn at random, fewer and fewer: all in the beginning, none in the end. They take a
# quarter of the pixels and are half of all epochs, on average, which leaves five eighths of the pixels.
_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_coco.py'
train_dataloader = dict(
    batch_sampler=dict(
        type='mmsniper.MixedSizeBatchSampler',
        sizes=[[(256, 1.0)], [(512, 1.0)]],
        regime='B',
        schedule=dict(type='decreasing', epochs=_base_.train_cfg.max_epochs),
    )
)
