"""From plan to batch: the data set of chips, its epoch sampler, and the transforms that cut and pack them."""

from .chip_dataset import ChipDataset
from .plan_sampler import ChipPlanSampler
from .transforms import ChipSampler, MixChips, PackChipInputs

__all__ = ['ChipDataset', 'ChipPlanSampler', 'ChipSampler', 'MixChips', 'PackChipInputs']
