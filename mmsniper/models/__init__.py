"""Labels by valid range, as task utils for any mmdet detector."""

from .assigners import ValidRangeAssigner, ValidRangeRoIAssigner
from .samplers import ValidRangeSampler

__all__ = ['ValidRangeAssigner', 'ValidRangeRoIAssigner', 'ValidRangeSampler']
