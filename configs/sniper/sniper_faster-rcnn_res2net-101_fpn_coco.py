_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
weights = dict(checkpoint='open-mmlab://res2net101_v1d_26w_4s')
model = dict(backbone=dict(type='Res2Net', depth=101, scales=4, base_width=26, init_cfg=weights))
