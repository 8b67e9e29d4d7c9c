# "Simple Copy-Paste" between chips: objects keep the size they have in their own chip, and its valid range.
_base_ = 'sniper_mask-rcnn_r50_fpn_coco.py'

chips = _base_.train_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(chips, pipeline=_base_.train_pipeline[:-1]),
        pipeline=[
            dict(type='mmsniper.MixChips', transform=dict(type='CopyPaste', max_num_pasted=100)),
            dict(type='mmsniper.PackChipInputs'),
        ],
    )
)
