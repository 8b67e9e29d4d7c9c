_base_ = 'sniper_tiny_shapes.py'

rpn_config = 'sniper_rpn_tiny_shapes.py'  # beside this file
train_dataloader = dict(
    dataset=dict(negatives=dict(ann_file='work_dirs/sniper_rpn_tiny_shapes/negative_chips.npz', per_image=2))
)
