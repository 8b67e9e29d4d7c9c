_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_neg_coco.py'

model = dict(type='mmsniper.WithFocus', detector='FasterRCNN', focus_head=dict(stride=16))
tta_model = dict(tta_cfg=dict(focus=dict(threshold=0.02, dilate=3, min_size=256)))
