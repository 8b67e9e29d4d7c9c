_base_ = ['mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py', 'sniper_two_stage.py']

# What proposals of a stage have become is labelled by the next one, again by their size.
stages = _base_.model.train_cfg.rcnn
model = dict(
    backbone=dict(norm_eval=False),
    train_cfg=dict(
        # Chips are cut anywhere, so anchors across their border count.
        rpn=dict(allowed_border=-1, **_base_.rpn_labels),
        rcnn=[
            dict(
                stage,
                assigner=dict(stage.assigner, type='mmsniper.ValidRangeRoIAssigner'),
                sampler=dict(type='mmsniper.ValidRangeSampler', num=300),
            )
            for stage in stages
        ],
    ),
)
