_base_ = ['mmdet::_base_/models/faster-rcnn_r50-caffe-dc5.py', 'sniper_two_stage.py']

# One level with a dilated C5, as the paper's networks: chips bring objects to 30 to 300 px, so 21 anchors do.
model = dict(
    backbone=dict(frozen_stages=1, norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False),
    neck=dict(type='ChannelMapper', in_channels=[2048], kernel_size=1, out_channels=256, num_outs=1),
    rpn_head=dict(
        in_channels=256,
        feat_channels=512,
        anchor_generator=dict(scales=[2, 4, 7, 10, 13, 16, 24], ratios=[0.5, 1.0, 2.0], strides=[16]),
    ),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=256), bbox_head=dict(in_channels=256)),
    train_cfg=dict(
        # Chips are cut anywhere, so anchors across their border count.
        rpn=dict(allowed_border=-1, **_base_.rpn_labels),
        rcnn=_base_.roi_labels,
    ),
)
