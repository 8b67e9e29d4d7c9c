_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_voc0712.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
# An epoch has a seventeenth of COCO's chips, so a shorter warm-up.
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=200),
    dict(type='ConstantLR', factor=0.1, by_epoch=True, begin=5.33, end=10**9, convert_to_iter_based=True),
]
