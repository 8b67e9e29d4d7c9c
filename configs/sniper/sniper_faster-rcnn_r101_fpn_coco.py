_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
