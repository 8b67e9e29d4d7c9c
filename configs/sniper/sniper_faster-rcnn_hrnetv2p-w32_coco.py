_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'


def stage(modules, block, blocks, channels):
    return dict(
        num_modules=modules,
        num_branches=len(channels),
        block=block,
        num_blocks=(blocks,) * len(channels),
        num_channels=channels,
    )


model = dict(
    backbone=dict(
        _delete_=True,
        type='HRNet',
        extra=dict(
            stage1=stage(1, 'BOTTLENECK', 4, (64,)),
            stage2=stage(1, 'BASIC', 4, (32, 64)),
            stage3=stage(4, 'BASIC', 4, (32, 64, 128)),
            stage4=stage(3, 'BASIC', 4, (32, 64, 128, 256)),
        ),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://msra/hrnetv2_w32'),
    ),
    neck=dict(_delete_=True, type='HRFPN', in_channels=[32, 64, 128, 256], out_channels=256),
)
