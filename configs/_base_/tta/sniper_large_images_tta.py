# tools/test.py --tta: each tile is read from the file when its turn comes.
_base_ = 'sniper_tta.py'

tta_pipeline = [
    dict(type='mmsniper.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]
