# Mixed precision, as `--amp` sets it.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
