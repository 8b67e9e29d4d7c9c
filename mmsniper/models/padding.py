"""Views of such a size, and padded so, that they look to a detector as its training samples did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.models.detectors import DetectionTransformer
from mmengine.logging import print_log
from torch import Tensor, nn

# Longest side of a view in network pixels.
LONGEST = 2048
# What most networks' strides want.
STRIDES = 32


def longest_side(detector: nn.Module, chip_size: int) -> int:
    """Longest side of a view: 2048; of DETR and its kin, which tell boxes as shares of what they see, that of a chip.

    Args:
        detector: Which.
        chip_size: Side of its training samples, network pixels; 0 = not known, or of any size.
    """
    if not chip_size or not tells_shares(detector):
        return LONGEST
    print_log(
        f'MultiScaleChipTTA shows {type(detector).__name__} tiles of {chip_size} px, a chip, as it tells boxes as '
        'shares of what it sees; tta_cfg.max_canvas changes that',
        'current',
    )
    return chip_size


def tells_shares(detector: nn.Module) -> bool:
    """Whether a detector tells boxes as shares of what it sees, as DETR and its kin do."""
    return isinstance(detector, DetectionTransformer)


def padded(image: Tensor, shape: tuple[int, int], detector: nn.Module) -> Tensor:
    """An image with more of its detector's ground at the right and bottom, as a chip has that the image does not fill.

    Where all chips of a scale have such a border and those of another have none, it may tell the network which scale it
    sees: one with group norm, trained so on BCCD, had four fifths less AP at the coarse scale without it.

    Args:
        image: (C, H, W), not normalized.
        shape: (height, width), not less.
        detector: The colour is what its preprocessor pads with.

    Returns:
        (C, *shape) of the same type.
    """
    height, width = image.shape[-2:]
    if (height, width) == shape:
        return image
    preprocessor = getattr(detector, 'data_preprocessor', None)
    colour = image.new_tensor(getattr(preprocessor, 'pad_value', 0), dtype=torch.float32)
    if hasattr(preprocessor, 'mean'):  # it normalizes, after it has changed the order of channels
        colour = preprocessor.mean + colour * preprocessor.std
        colour = colour.flip(0) if getattr(preprocessor, '_channel_conversion', False) else colour
    result = image.new_empty((image.shape[0], *shape))
    result[:] = colour if image.is_floating_point() else colour.round().clamp(0, 255)
    result[:, :height, :width] = image
    return result


def divisor_of(detector: nn.Module) -> int:
    """What a detector's preprocessor pads the sides of views to multiples of, within :func:`padded_to_strides`."""
    divisor = getattr(getattr(detector, 'data_preprocessor', None), 'pad_size_divisor', None)
    return STRIDES if divisor == 1 else divisor or 1  # one that pads nothing takes views of one shape only


@contextmanager
def padded_to_strides(detector: nn.Module) -> Iterator[None]:
    """Within, a detector whose preprocessor pads to no multiple pads to multiples of 32.

    RTMDet and some others leave it to their pipelines to pad to what their strides need.
    """
    preprocessor = getattr(detector, 'data_preprocessor', None)
    if getattr(preprocessor, 'pad_size_divisor', None) != 1:
        yield
        return
    preprocessor.pad_size_divisor = STRIDES
    try:
        yield
    finally:
        preprocessor.pad_size_divisor = 1
