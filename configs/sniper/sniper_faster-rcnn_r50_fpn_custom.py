# Your own data in COCO's format. Choose scales and ranges by docs/scales.md, then look: mmsniper browse.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
metainfo = dict(classes=('WBC', 'RBC', 'Platelets'))  # as the annotation file names its categories
data = dict(data_root='data/bccd/', ann_file='annotations.json', data_prefix=dict(img='images/'), metainfo=metainfo)
train_dataloader = dict(batch_size=8, dataset=dict(dataset=data))
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/bccd/annotations.json')
test_evaluator = val_evaluator
val_cfg = dict(type='mmsniper.MultiScaleValLoop')  # after every epoch, at all scales: as tools/test.py --tta
# For one GPU with 8 chips and some thousand iterations in all; `--auto-scale-lr` fits the rate to other batches.
optim_wrapper = dict(optimizer=dict(lr=0.001))
auto_scale_lr = dict(base_batch_size=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=200),
    dict(type='ConstantLR', factor=0.1, by_epoch=True, begin=5.33, end=10**9, convert_to_iter_based=True),
]
