"""Labels by valid range, as task utils for any mmdet detector; multi-scale inference."""

from .assigners import ValidRange, ValidRangeAssigner, ValidRangeATSSAssigner, ValidRangeRoIAssigner
from .fcos_head import ValidRangeFCOSHead
from .focus import FocusHead, with_focus
from .multi_scale_tta import MultiScaleChipTTA
from .samplers import ValidRangeSampler
from .set_heads import (
    ValidRangeConditionalDETRHead,
    ValidRangeDABDETRHead,
    ValidRangeDeformableDETRHead,
    ValidRangeDETRHead,
    ValidRangeDINO,
    ValidRangeDINOHead,
)
from .vfnet_head import ValidRangeVFNetHead
from .yolox_head import ValidRangeYOLOXHead

__all__ = [
    'FocusHead',
    'MultiScaleChipTTA',
    'ValidRange',
    'ValidRangeATSSAssigner',
    'ValidRangeAssigner',
    'ValidRangeConditionalDETRHead',
    'ValidRangeDABDETRHead',
    'ValidRangeDETRHead',
    'ValidRangeDINO',
    'ValidRangeDINOHead',
    'ValidRangeDeformableDETRHead',
    'ValidRangeFCOSHead',
    'ValidRangeRoIAssigner',
    'ValidRangeSampler',
    'ValidRangeVFNetHead',
    'ValidRangeYOLOXHead',
    'with_focus',
]
