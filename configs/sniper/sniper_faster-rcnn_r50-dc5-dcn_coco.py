_base_ = 'sniper_faster-rcnn_r50-dc5_coco.py'

# Deformable convolutions in the last stage.
model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False), stage_with_dcn=(False, False, False, True)
    )
)
