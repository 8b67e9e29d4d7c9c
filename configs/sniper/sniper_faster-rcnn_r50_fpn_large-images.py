# Images of 50 megapixels and more, in COCO's format. Inherit and name your classes and data as
# sniper_faster-rcnn_r50_fpn_custom.py does, and choose scales and ranges by docs/scales.md.
_base_ = [
    '../_base_/models/sniper_faster-rcnn_r50_fpn.py',
    '../_base_/datasets/sniper_large_images.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_large_images_tta.py',
    '../_base_/sniper_runtime.py',
]
