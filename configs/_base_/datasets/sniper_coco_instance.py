_base_ = 'sniper_coco_detection.py'

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmsniper.ChipSampler'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmsniper.PackChipInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
