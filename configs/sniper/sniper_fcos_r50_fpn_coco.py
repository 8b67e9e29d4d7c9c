_base_ = [
    '../_base_/models/sniper_fcos_r50_fpn.py',
    '../_base_/datasets/sniper_coco_detection.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

# Focal loss on thousands of points: half of the learning rate, and bounded gradients.
optim_wrapper = dict(optimizer=dict(lr=0.0075), clip_grad=dict(max_norm=35))
