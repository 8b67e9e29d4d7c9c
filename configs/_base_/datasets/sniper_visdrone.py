# VisDrone2019-DET, converted to COCO's format with all of its twelve categories.
_base_ = 'sniper_coco_detection.py'

data_root = 'data/VisDrone2019-DET/'
metainfo = dict(
    classes=(
        'pedestrian',
        'people',
        'bicycle',
        'car',
        'van',
        'truck',
        'tricycle',
        'awning-tricycle',
        'bus',
        'motor',
    ),
    # Nobody's background in training, and in evaluation neither right nor wrong.
    ignored_categories=('ignored regions', 'others'),
)
val = dict(data_root=data_root, ann_file='annotations/val.json', data_prefix=dict(img='val/images/'), metainfo=metainfo)
# 960 to 2000 px wide, objects of 5 to 150, three quarters of them under 50: the finest scale does most of the work, and
# the coarsest brings vehicles near the camera into a chip.
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[2.0, 1.0, (1024, 1024)], valid_ranges=[(None, 48), (32, 128), (96, None)]),
        dataset=dict(val, ann_file='annotations/train.json', data_prefix=dict(img='train/images/')),
    )
)
val_dataloader = dict(dataset=val)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + val['ann_file'])
test_evaluator = val_evaluator
