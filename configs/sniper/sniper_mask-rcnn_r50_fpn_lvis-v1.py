_base_ = [
    '../_base_/models/sniper_mask-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_lvis_v1_instance.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

# LVIS's metric takes up to 300 detections per image, of however low a score.
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=1203), mask_head=dict(num_classes=1203)),
    test_cfg=dict(rcnn=dict(score_thr=0.0001, max_per_img=300)),
)
tta_model = dict(tta_cfg=dict(score_thr=0.0001, max_per_img=300))
