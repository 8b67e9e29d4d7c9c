# PASCAL VOC 2007 + 2012, trained on trainval, tested on 2007 test.
_base_ = 'sniper_coco_detection.py'

data_root = 'data/VOCdevkit/'
metric = dict(type='VOCMetric', metric='mAP', eval_mode='11points')


def year(number, split, **options):
    return dict(
        type='VOCDataset',
        data_root=data_root,
        ann_file=f'VOC{number}/ImageSets/Main/{split}.txt',
        data_prefix=dict(sub_data_root=f'VOC{number}/'),
        **options,
    )


# 500 x 375 px, objects mostly of 40 to 400: two scales do. mmdet's filter would take objects under 32 px out.
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[2.0, (512, 512)], valid_ranges=[(None, 120), (80, None)]),
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            ignore_keys=['dataset_type'],
            datasets=[
                year(2007, 'trainval', filter_cfg=dict(filter_empty_gt=False)),
                year(2012, 'trainval', filter_cfg=dict(filter_empty_gt=False)),
            ],
        ),
    )
)
val_dataloader = dict(dataset=dict(_delete_=True, **year(2007, 'test', test_mode=True, pipeline=_base_.test_pipeline)))
test_dataloader = val_dataloader
val_evaluator = dict(metric, _delete_=True)
test_evaluator = val_evaluator
