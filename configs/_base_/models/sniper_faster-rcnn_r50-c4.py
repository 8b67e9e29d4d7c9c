_base_ = ['mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py', 'sniper_two_stage.py']

# One level of stride 16, with the last stage of the backbone in the RoI head. Its batch-norm sees RoIs, which are no
# batch to take statistics of, so all of it stays frozen.
model = dict(
    rpn_head=dict(
        feat_channels=512,
        anchor_generator=dict(scales=[2, 4, 7, 10, 13, 16, 24], ratios=[0.5, 1.0, 2.0], strides=[16]),
    ),
    train_cfg=dict(rpn=_base_.rpn_labels, rcnn=_base_.roi_labels),
)
