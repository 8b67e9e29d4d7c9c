# Plain multi-scale training, mmdet's usual baseline: every image once per epoch at one of six sizes, with all objects.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='mmsniper.CheckedCocoDataset'))
test_dataloader = dict(dataset=dict(type='mmsniper.CheckedCocoDataset'))
val_evaluator = dict(type='mmsniper.CocoMetric')
test_evaluator = dict(type='mmsniper.CocoMetric')
# --tta: one scale, as mmdet tests it. To add scales, set scales here; it is trained on all sizes, so no ranges.
tta_model = dict(tta_cfg=dict(scales=[(1333, 800)], ranges=None))
