_base_ = '../sniper/sniper_mask-rcnn_r50_fpn_coco.py'

model = dict(type='mmsniper.WithFocus', detector='MaskRCNN', focus_head=dict(stride=16))
tta_model = dict(tta_cfg=dict(focus=dict(threshold=0.02, dilate=3, min_size=256)))
