_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
weights = dict(checkpoint='open-mmlab://resnext101_64x4d')
model = dict(backbone=dict(type='ResNeXt', depth=101, groups=64, base_width=4, init_cfg=weights))
