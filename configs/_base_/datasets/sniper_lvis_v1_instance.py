# LVIS v1: COCO's images and hence its scales and ranges, 1203 classes. Images with rare classes come more often, each
# time with chips of their own. Needs `pip install lvis`, whose version 0.5.3 evaluates with numpy < 1.24 only: write
# test_evaluator=dict(format_only=True, outfile_prefix=...), and evaluate where there is one.
_base_ = 'sniper_coco_instance.py'

data_root = 'data/lvis_v1/'
val = dict(
    type='LVISV1Dataset',
    data_root=data_root,
    ann_file='annotations/lvis_v1_val.json',
    data_prefix=dict(img=''),
    test_mode=True,
    pipeline=_base_.test_pipeline,
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ClassBalancedDataset',
            oversample_thr=1e-3,
            dataset=dict(
                type='LVISV1Dataset',
                data_root=data_root,
                ann_file='annotations/lvis_v1_train.json',
                data_prefix=dict(img=''),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
            ),
        )
    )
)
val_dataloader = dict(dataset=dict(val, _delete_=True))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='LVISMetric', ann_file=data_root + 'annotations/lvis_v1_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
