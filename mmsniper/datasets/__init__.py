"""From plan to batch: the data set of chips, its epoch sampler, and the transforms that cut and pack them."""

from .annotations import CheckedCocoDataset
from .chip_dataset import ChipDataset
from .plan_sampler import ChipPlanSampler
from .transforms import ChipSampler, LoadImageOrBlank, MixChips, PackChipInputs, To8Bit

__all__ = [
    'CheckedCocoDataset',
    'ChipDataset',
    'ChipPlanSampler',
    'ChipSampler',
    'LoadImageOrBlank',
    'MixChips',
    'PackChipInputs',
    'To8Bit',
]
