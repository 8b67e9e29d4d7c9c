_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    # --resume goes on in mid-epoch with the same chips and the same losses.
    exact_resume=dict(type='mmsniper.ExactResumeHook'),
    # Class names of training, validation and checkpoint agree; skipped images are named.
    data_check=dict(type='mmsniper.DataCheckHook'),
)
