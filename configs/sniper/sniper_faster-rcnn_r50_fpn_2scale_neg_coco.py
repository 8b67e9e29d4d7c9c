_base_ = 'sniper_faster-rcnn_r50_fpn_2scale_coco.py'
rpn_config = 'sniper_rpn_r50_fpn_2e_2scale_coco.py'  # beside this file
pool = 'work_dirs/sniper_rpn_r50_fpn_2e_2scale_coco/negative_chips.npz'
train_dataloader = dict(dataset=dict(negatives=dict(ann_file=pool, per_image=2)))
