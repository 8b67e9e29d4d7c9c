_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_coco_detection.py',
    '../_base_/schedules/sniper_adamw_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]
custom_imports = dict(imports=['mmpretrain.models'], allow_failed_imports=False)  # mim install mmpretrain
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/convnext/downstream/'
            'convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
