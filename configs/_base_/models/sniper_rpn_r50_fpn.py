_base_ = 'mmdet::_base_/models/rpn_r50_fpn.py'

model = dict(
    backbone=dict(norm_eval=False),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='mmsniper.ValidRange', assigner='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4))
    ),
    test_cfg=dict(rpn=dict(max_per_img=300)),
)
