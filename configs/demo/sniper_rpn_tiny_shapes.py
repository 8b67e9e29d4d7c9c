# The demo's short RPN. Data and chips are those of the config that tools/train_sniper.py is given.
_base_ = '../sniper/sniper_rpn_r50_fpn_2e_coco.py'

model = dict(
    backbone=dict(
        depth=18, base_channels=16, frozen_stages=-1, norm_cfg=dict(type='BN', requires_grad=True), init_cfg=None
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            octave_base_scale=5,
            scales_per_octave=2,
            ratios=[1.0],
            strides=[4, 8, 16, 32, 64],
        ),
    ),
    test_cfg=dict(rpn=dict(nms_pre=600, max_per_img=300)),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=30)]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(base_batch_size=8)
test_dataloader = dict(num_workers=1)
