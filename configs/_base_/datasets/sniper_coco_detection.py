_base_ = 'mmdet::_base_/datasets/coco_detection.py'

# Which chips an epoch has follows from this seed; a resumed run that drew another would see another plan.
randomness = dict(seed=0)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmsniper.ChipSampler'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmsniper.PackChipInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    sampler=dict(_delete_=True, type='mmsniper.ChipPlanSampler'),
    # Every image is loaded once; None = chips in random order, of which each loads its image.
    batch_sampler=dict(_delete_=True, type='mmsniper.ChipBatchSampler', lanes=8),
    dataset=dict(
        _delete_=True,
        type='mmsniper.ChipDataset',
        # A scale is a zoom factor or (long edge, short edge); its valid range is on sqrt(width * height) of a box in
        # image pixels. Objects of every size need a range, and in it a scale that brings them to about 30 to 300 px.
        planner=dict(
            scales=[3.0, 1.667, (512, 512)],
            valid_ranges=[(None, 80), (32, 150), (120, None)],
            chip_size=512,
            stride=32,
        ),
        empty_chips=1,
        dataset=dict(
            type=_base_.dataset_type,
            data_root=_base_.data_root,
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017/'),
            filter_cfg=dict(filter_empty_gt=False, min_size=32),
            backend_args=_base_.backend_args,
        ),
        pipeline=train_pipeline,
    ),
)
# mmdet's CocoDataset, which refuses a file that would be evaluated wrong.
val_dataloader = dict(dataset=dict(type='mmsniper.CheckedCocoDataset'))
test_dataloader = dict(dataset=dict(type='mmsniper.CheckedCocoDataset'))
# mmdet's CocoMetric, which leaves metainfo's ignored_categories out.
val_evaluator = dict(type='mmsniper.CocoMetric')
test_evaluator = dict(type='mmsniper.CocoMetric')
