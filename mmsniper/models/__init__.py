"""Labels by valid range, as task utils for any mmdet detector; proposals of several scales."""

from .assigners import ValidRangeAssigner, ValidRangeRoIAssigner
from .proposal_tta import ProposalTTA
from .samplers import ValidRangeSampler

__all__ = ['ProposalTTA', 'ValidRangeAssigner', 'ValidRangeRoIAssigner', 'ValidRangeSampler']
