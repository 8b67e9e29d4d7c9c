_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'sniper_two_stage.py']

model = dict(
    backbone=dict(norm_eval=False),
    train_cfg=dict(rpn=_base_.rpn_labels, rcnn=_base_.roi_labels),
)
