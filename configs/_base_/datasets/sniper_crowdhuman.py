# CrowdHuman, full-body boxes. What it marks to be ignored (crowds, statues, reflections) is nobody's background.
_base_ = 'sniper_coco_detection.py'

data_root = 'data/CrowdHuman/'
val = dict(
    type='CrowdHumanDataset',
    data_root=data_root,
    ann_file='annotation_val.odgt',
    data_prefix=dict(img='Images/'),
    test_mode=True,
    pipeline=_base_.test_pipeline,
)
# Some 1500 px wide, people of 15 to 600 px, two to three times as high as wide: a range ends where they still fit a
# chip of their scale.
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[2.0, 1.0, (512, 512)], valid_ranges=[(None, 96), (64, 240), (160, None)]),
        dataset=dict(
            _delete_=True,
            type='CrowdHumanDataset',
            data_root=data_root,
            ann_file='annotation_train.odgt',
            data_prefix=dict(img='Images/'),
        ),
    )
)
val_dataloader = dict(dataset=dict(val, _delete_=True))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='CrowdHumanMetric', ann_file=data_root + 'annotation_val.odgt')
test_evaluator = val_evaluator
