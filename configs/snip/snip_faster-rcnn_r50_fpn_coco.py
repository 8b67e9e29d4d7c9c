# SNIP: every image whole at every scale, labels by valid range as in SNIPER. A sample has up to 4 million pixels.
_base_ = '../sniper/sniper_faster-rcnn_r50_fpn_coco.py'

# Few images per GPU: frozen batch norm.
model = dict(backbone=dict(norm_cfg=dict(requires_grad=False), norm_eval=True))
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    dataset=dict(
        planner=dict(
            _delete_=True,
            type='PyramidPlanner',
            scales=[3.0, 1.667, (512, 512)],
            valid_ranges=[(None, 80), (32, 150), (120, None)],
        )
    ),
)
# 8 GPUs with one image each.
optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=8)
