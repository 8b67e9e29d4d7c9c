_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_visdrone.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

# Hundreds of objects per image: more proposals, and more of them kept.
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=10)),
    train_cfg=dict(rcnn=dict(sampler=dict(num=600))),
    test_cfg=dict(rcnn=dict(max_per_img=500)),
)
tta_model = dict(tta_cfg=dict(max_per_img=500))
