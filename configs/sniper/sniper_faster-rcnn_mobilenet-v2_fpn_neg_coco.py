_base_ = 'sniper_faster-rcnn_mobilenet-v2_fpn_coco.py'
rpn_config = 'sniper_rpn_r50_fpn_2e_coco.py'  # negative chips are of the data: any weak RPN's will do
pool = 'work_dirs/sniper_rpn_r50_fpn_2e_coco/negative_chips.npz'
train_dataloader = dict(dataset=dict(negatives=dict(ann_file=pool, per_image=2)))
