"""What looks on while training, validating and testing."""

from .batch_norm_calibration import BatchNormCalibrationHook
from .batch_rate import BatchRateHook
from .chip_timer import ChipTimerHook
from .config_check import ConfigCheckHook
from .data_check import DataCheckHook
from .evaluation import EvaluationHook
from .exact_resume import ExactResumeHook
from .num_class_check import NumClassCheckHook
from .training_monitor import ChipMonitorHook

__all__ = [
    'BatchNormCalibrationHook',
    'BatchRateHook',
    'ChipMonitorHook',
    'ChipTimerHook',
    'ConfigCheckHook',
    'DataCheckHook',
    'EvaluationHook',
    'ExactResumeHook',
    'NumClassCheckHook',
]
