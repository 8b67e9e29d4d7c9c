# Nearest to the paper's network: ResNet-101, dilated and deformable C5, 21 anchors, negative chips.
_base_ = 'sniper_faster-rcnn_r50-dc5-dcn_coco.py'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet101_caffe')))
rpn_config = 'sniper_rpn_r50_fpn_2e_coco.py'
pool = 'work_dirs/sniper_rpn_r50_fpn_2e_coco/negative_chips.npz'
train_dataloader = dict(dataset=dict(negatives=dict(ann_file=pool, per_image=2)))
