_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_voc0712.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
tta_model = dict(tta_cfg=dict(scales=[2.0, (512, 512)], ranges=[(None, 140), (60, None)]))
