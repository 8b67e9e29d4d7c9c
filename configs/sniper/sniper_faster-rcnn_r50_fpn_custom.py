# Your own data in COCO's format. Choose scales and ranges by the README's table, then look: tools/browse_chips.py.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
metainfo = dict(classes=('WBC', 'RBC', 'Platelets'))  # as the annotation file names its categories
data = dict(data_root='data/bccd/', ann_file='annotations.json', data_prefix=dict(img='images/'), metainfo=metainfo)
train_dataloader = dict(batch_size=8, dataset=dict(dataset=data))
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/bccd/annotations.json')
test_evaluator = val_evaluator
