# 64 chips have the pixels of mmdet's 16 images, for which its learning rate is meant.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

on_chips(_base_)
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=64)
