# A small detector that two CPU cores train from random weights in minutes, on generated images
# (tools/make_shapes_dataset.py). Chips of 256 px; everything else is the full-size recipe's.
_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_coco.py'

num_classes = 5
model = dict(
    backbone=dict(
        depth=18, base_channels=16, frozen_stages=-1, norm_cfg=dict(type='BN', requires_grad=True), init_cfg=None
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    # The shapes are about as wide as high, so one aspect ratio will do, with two sizes per level.
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            octave_base_scale=5,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
        ),
    ),
    roi_head=dict(
        # One sample per bin: on a CPU the default adaptive number takes half of the training time.
        bbox_roi_extractor=dict(out_channels=32, roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(in_channels=32, fc_out_channels=256, num_classes=num_classes),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=600, max_per_img=300)),
)

data_root = 'data/shapes/'
metainfo = dict(classes=('circle', 'square', 'triangle', 'star', 'cross'))
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        planner=dict(
            scales=[2.0, 1.0, (256, 256)],
            valid_ranges=[(None, 64), (24, 180), (100, None)],
            chip_size=256,
            stride=16,
        ),
        dataset=dict(
            data_root=data_root, ann_file='annotations/train.json', data_prefix=dict(img='train/'), metainfo=metainfo
        ),
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=1.5, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        metainfo=metainfo,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
tta_model = dict(tta_cfg=dict(scales=[2.0, 1.0, (256, 256)], ranges=[(None, 72), (24, 200), (70, None)]))
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=9, val_interval=9)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=0, end=9, convert_to_iter_based=True),
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
# Of one process with 8 chips; what is inherited is for 128.
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=10))
