# The demo's detector on HIT-UAV, infrared images from drones; scales and schedule by `mmsniper suggest`.
_base_ = 'sniper_tiny_shapes.py'

data_root = 'data/hituav/'
metainfo = dict(classes=('Person', 'Car', 'Bicycle', 'OtherVehicle'), ignored_categories=('DontCare',))
model = dict(
    type='mmsniper.WithFocus',
    detector='FasterRCNN',
    focus_head=dict(stride=16, feat_channels=64),
    roi_head=dict(bbox_head=dict(num_classes=4)),
)
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[2.0, 0.6], valid_ranges=[(None, 64), (58, None)]),
        dataset=dict(
            data_root=data_root, ann_file='train.json', metainfo=metainfo, filter_cfg=dict(filter_empty_gt=False)
        ),
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='val.json', metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
# Small objects are everywhere: the pyramid's AP takes three quarters of its pixels (docs/autofocus.md).
tta_model = dict(tta_cfg=dict(scales='planner', ranges='planner', focus=dict(threshold=0.05, dilate=3, min_size=192)))

train_cfg = dict(max_epochs=10, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
]
