_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_crowdhuman.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=1)), test_cfg=dict(rcnn=dict(max_per_img=500)))
# Sigma as in COCO; people who hide each other want soft-NMS more than anything.
tta_model = dict(tta_cfg=dict(max_per_img=500))
