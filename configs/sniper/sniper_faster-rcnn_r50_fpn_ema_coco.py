# Tests and saves the moving average of the weights.
_base_ = 'sniper_faster-rcnn_r50_fpn_coco.py'
custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49)]
