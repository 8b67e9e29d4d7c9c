# The demo's detector on BCCD, blood cells; scales and schedule by `mmsniper suggest`. Every cell is large and of much
# the same size, so that whole images at one scale do as well: see docs/measured.md.
_base_ = 'sniper_tiny_shapes.py'

data_root = 'data/bccd/'
metainfo = dict(classes=('WBC', 'RBC', 'Platelets'))
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[1.5, 0.4], valid_ranges=[(None, 85), (34, None)]),
        dataset=dict(data_root=data_root, ann_file='train.json', metainfo=metainfo),
    )
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='val.json', metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
tta_model = dict(tta_cfg=dict(scales='planner', ranges='planner'))

train_cfg = dict(max_epochs=15, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=0, end=15, convert_to_iter_based=True),
]
