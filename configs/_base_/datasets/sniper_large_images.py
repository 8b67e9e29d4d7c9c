# Images much larger than a chip, up to 20,000 x 20,000 px and more: only the part that a chip shows is read. Keep them
# as tiled TIFF, and pip install tifffile imagecodecs; a JPEG or PNG has no parts to be read: it is decoded whole.
_base_ = 'sniper_coco_detection.py'

train_pipeline = [
    dict(type='mmsniper.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmsniper.ChipSampler'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmsniper.PackChipInputs'),
]
# Zoom factors: at a scale such as (512, 512), a chip is the whole image, all of which is read for it.
train_dataloader = dict(
    dataset=dict(
        planner=dict(scales=[2.0, 1.0, 0.25], valid_ranges=[(None, 48), (32, 200), (150, None)]),
        pipeline=train_pipeline,
    )
)
