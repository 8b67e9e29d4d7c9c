# tools/test.py --tta: each tile is read from the file when its turn comes; the scales are those of the chips.
_base_ = 'sniper_tta.py'

tta_model = dict(tta_cfg=dict(scales=[2.0, 1.0, 0.25], ranges=[(None, 60), (24, 240), (120, None)]))
tta_pipeline = [
    dict(type='mmsniper.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]
