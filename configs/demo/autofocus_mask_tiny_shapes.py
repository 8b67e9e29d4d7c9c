_base_ = 'sniper_mask_tiny_shapes.py'

model = dict(type='mmsniper.WithFocus', detector='MaskRCNN', focus_head=dict(stride=16, feat_channels=64))
tta_model = dict(tta_cfg=dict(focus=dict(threshold=0.02, dilate=3, min_size=192)))
