# Mosaic and MixUp, without which the last epochs go, as mmdet's recipe has them, but of chips. Nothing may zoom these:
# hence no affine transform of images and no resizing of batches.
_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

steps = _base_.train_dataloader.dataset.pipeline
_base_.train_dataloader.dataset.pipeline = [step for step in steps if step.type != 'RandomAffine']
_base_.model.data_preprocessor.batch_augments = None
on_chips(_base_, max_epochs=100)
train_dataloader = dict(batch_size=8)
