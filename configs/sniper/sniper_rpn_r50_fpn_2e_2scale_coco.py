# The short schedule for detectors of two scales.
_base_ = 'sniper_rpn_r50_fpn_2e_coco.py'
planner = dict(scales=[1.667, (512, 512)], valid_ranges=[(None, 150), (120, None)])
train_dataloader = dict(dataset=dict(planner=planner))
test_evaluator = dict(
    planner=planner, min_proposals=[26, 11], out_file='work_dirs/sniper_rpn_r50_fpn_2e_2scale_coco/negative_chips.npz'
)
tta_model = dict(tta_cfg=dict(scales=planner['scales']))
