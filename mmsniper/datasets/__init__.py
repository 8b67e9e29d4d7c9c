"""From plan to batch: the data set of chips, its epoch sampler, and the transforms that cut and pack them."""

from .annotations import CheckedCocoDataset
from .chip_batch_sampler import ChipBatchSampler
from .chip_dataset import ChipDataset
from .mixed_size_batch_sampler import MixedSizeBatchSampler
from .plan_sampler import ChipPlanSampler, chip_sampler
from .progress import progress_of
from .transforms import (
    ChipSampler,
    LoadChipAnnotations,
    LoadImageOrBlank,
    MixChips,
    OpenImage,
    PackChipInputs,
    To8Bit,
)

__all__ = [
    'CheckedCocoDataset',
    'ChipBatchSampler',
    'ChipDataset',
    'ChipPlanSampler',
    'ChipSampler',
    'LoadChipAnnotations',
    'LoadImageOrBlank',
    'MixChips',
    'MixedSizeBatchSampler',
    'OpenImage',
    'PackChipInputs',
    'To8Bit',
    'chip_sampler',
    'progress_of',
]
