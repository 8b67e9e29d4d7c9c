# The paper's cheaper pyramid: without the finest scale.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
train_dataloader = dict(dataset=dict(planner=dict(scales=[1.667, (512, 512)], valid_ranges=[(None, 150), (120, None)])))
tta_model = dict(tta_cfg=dict(scales=[(1280, 800), (512, 480)], ranges=[(None, 180), (75, None)]))
