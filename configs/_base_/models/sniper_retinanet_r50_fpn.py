_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

# An anchor head is labelled as an RPN is. Objects of other sizes than the chip's range teach nothing here: there is no
# second stage that could still learn their class.
model = dict(
    backbone=dict(norm_eval=False),
    train_cfg=dict(assigner=dict(type='mmsniper.ValidRange', assigner='MaxIoUAssigner')),
)
