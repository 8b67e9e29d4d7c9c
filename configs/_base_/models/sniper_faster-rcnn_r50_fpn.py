_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    # 16 chips per GPU make batch statistics worth training. With less than about 8, freeze them: norm_eval=True.
    backbone=dict(norm_eval=False),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='mmsniper.ValidRangeAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4)),
        rpn_proposal=dict(max_per_img=300),
        rcnn=dict(
            assigner=dict(type='mmsniper.ValidRangeRoIAssigner'),
            sampler=dict(_delete_=True, type='mmsniper.ValidRangeSampler'),
        ),
    ),
)
