"""Transforms that cut chips and pack them for the network."""

from .chip_sampler import ChipSampler
from .flags import IGNORED, INVALID, VALID
from .loading import LoadImageOrBlank, To8Bit
from .mix_chips import MixChips
from .pack import PackChipInputs

__all__ = ['IGNORED', 'INVALID', 'VALID', 'ChipSampler', 'LoadImageOrBlank', 'MixChips', 'PackChipInputs', 'To8Bit']
