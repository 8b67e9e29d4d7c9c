"""Transforms that cut chips and pack them for the network."""

from .chip_sampler import ChipSampler
from .flags import IGNORED, INVALID, VALID
from .load_annotations import LoadChipAnnotations
from .loading import LoadImageOrBlank, To8Bit
from .mix_chips import MixChips
from .object_masks import ObjectMasks
from .open_image import OpenImage
from .pack import PackChipInputs

__all__ = [
    'IGNORED',
    'INVALID',
    'VALID',
    'ChipSampler',
    'LoadChipAnnotations',
    'LoadImageOrBlank',
    'MixChips',
    'ObjectMasks',
    'OpenImage',
    'PackChipInputs',
    'To8Bit',
]
