_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    # --resume goes on in mid-epoch with the same chips and the same losses.
    exact_resume=dict(type='mmsniper.ExactResumeHook'),
    # Class names of training, validation and checkpoint agree; skipped images are named.
    data_check=dict(type='mmsniper.DataCheckHook'),
    # Scales and ranges to test at follow from the planner; ignored categories have a metric that ignores them.
    evaluation=dict(type='mmsniper.EvaluationHook'),
    # mmdet's: every head has as many classes as the data set.
    num_classes=dict(type='mmsniper.NumClassCheckHook'),
    # mmengine's, whose time that is left is right where chips have mixed sizes.
    timer=dict(type='mmsniper.ChipTimerHook'),
    # What mmsniper check says, in the log of a training; `mmsniper train --no-check` turns it off.
    config_check=dict(type='mmsniper.ConfigCheckHook'),
    # Chips per scale, objects in them, positives of each head, and a picture of a batch with labels and predictions now
    # and then, to the visualizer: vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')].
    chip_monitor=dict(type='mmsniper.ChipMonitorHook', draw_interval=1000),
)
