_base_ = 'mmdet::_base_/schedules/schedule_1x.py'

train_cfg = dict(max_epochs=7, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=1000),
    # A step within an epoch: MultiStepLR would never meet iteration 5.33 * epoch_length, this one starts there.
    # Without an end mmengine sets the last epoch's, where ConstantLR returns to the full rate for a last iteration.
    dict(type='ConstantLR', factor=0.1, by_epoch=True, begin=5.33, end=10**9, convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=0.015, momentum=0.9, weight_decay=0.0001))
# 8 GPUs with 16 chips each; `--auto-scale-lr` fits the learning rate to another number.
auto_scale_lr = dict(base_batch_size=128)
