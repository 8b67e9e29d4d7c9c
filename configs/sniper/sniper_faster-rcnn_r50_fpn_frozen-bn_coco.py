# For less than about 8 chips per GPU: their statistics are noise, ImageNet's are not. With more, train them.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
model = dict(backbone=dict(norm_cfg=dict(requires_grad=False), norm_eval=True))
train_dataloader = dict(batch_size=4, num_workers=4)
# 8 GPUs with 4 chips each.
optim_wrapper = dict(optimizer=dict(lr=0.00375))
auto_scale_lr = dict(base_batch_size=32)
