_base_ = 'sniper_tiny_neg_shapes.py'

model = dict(type='mmsniper.WithFocus', detector='FasterRCNN', focus_head=dict(stride=16, feat_channels=64))
tta_model = dict(tta_cfg=dict(focus=dict(threshold=0.02, dilate=3, min_size=192)))
