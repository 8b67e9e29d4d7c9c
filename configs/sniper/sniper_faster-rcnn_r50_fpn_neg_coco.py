# With negative chips: tools/train_sniper.py trains the RPN, mines, and puts the file's place in.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'

rpn_config = 'sniper_rpn_r50_fpn_2e_coco.py'  # beside this file
train_dataloader = dict(
    dataset=dict(
        negatives=dict(ann_file='work_dirs/sniper_rpn_r50_fpn_2e_coco/negative_chips.npz', per_image=2),
    )
)
