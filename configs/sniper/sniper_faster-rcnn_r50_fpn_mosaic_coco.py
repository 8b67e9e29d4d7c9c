# Mosaic and MixUp of chips: four chips side by side, of which one chip's area is cut out, and another one shining
# through. MixChips keeps every object's own valid range; img_scale is the chip size, since nothing may zoom.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'

chips = _base_.train_dataloader.dataset
size = (512, 512)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(chips, pipeline=_base_.train_pipeline[:-1]),
        pipeline=[
            dict(type='mmsniper.MixChips', transform=dict(type='Mosaic', img_scale=size), prob=0.5, crop=size),
            dict(
                type='mmsniper.MixChips',
                transform=dict(type='MixUp', img_scale=size, ratio_range=(1, 1)),
                prob=0.5,
            ),
            dict(type='mmsniper.PackChipInputs'),
        ],
    )
)
