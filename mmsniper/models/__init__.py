"""Labels by valid range, as task utils for any mmdet detector; multi-scale inference."""

from .assigners import ValidRangeAssigner, ValidRangeRoIAssigner
from .multi_scale_tta import MultiScaleChipTTA
from .samplers import ValidRangeSampler

__all__ = ['MultiScaleChipTTA', 'ValidRangeAssigner', 'ValidRangeRoIAssigner', 'ValidRangeSampler']
