# 128 chips have the pixels of mmdet's 32 images, for which its learning rate is meant.
_base_ = 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

on_chips(_base_)
auto_scale_lr = dict(base_batch_size=128)
