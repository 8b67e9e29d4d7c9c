"""Labels by valid range, as task utils for any mmdet detector; multi-scale inference."""

from .assigners import ValidRangeAssigner, ValidRangeATSSAssigner, ValidRangeRoIAssigner
from .fcos_head import ValidRangeFCOSHead
from .focus import FocusHead, with_focus
from .multi_scale_tta import MultiScaleChipTTA
from .samplers import ValidRangeSampler

__all__ = [
    'FocusHead',
    'MultiScaleChipTTA',
    'ValidRangeATSSAssigner',
    'ValidRangeAssigner',
    'ValidRangeFCOSHead',
    'ValidRangeRoIAssigner',
    'ValidRangeSampler',
    'with_focus',
]
