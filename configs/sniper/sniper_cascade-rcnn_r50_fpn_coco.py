_base_ = [
    '../_base_/models/sniper_cascade-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_coco_detection.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]
