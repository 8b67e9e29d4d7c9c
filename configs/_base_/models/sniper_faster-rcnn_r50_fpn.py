_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'sniper_two_stage.py']

model = dict(
    # 16 chips per GPU make batch statistics worth training. With less than about 8, freeze them: norm_eval=True.
    backbone=dict(norm_eval=False),
    train_cfg=dict(rpn=_base_.rpn_labels, rcnn=_base_.roi_labels),
)
