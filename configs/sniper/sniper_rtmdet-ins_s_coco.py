_base_ = 'mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

# mmdet's Mosaic and MixUp would lose the masks of chips, so nothing is mixed.
steps = _base_.train_dataloader.dataset.pipeline
_base_.train_dataloader.dataset.pipeline = [step for step in steps if not step.type.startswith('Cached')]
_base_.train_dataloader.dataset.filter_cfg.filter_empty_gt = False  # such images give background chips
on_chips(_base_, max_epochs=100)
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)
