"""Padding of views, so that they look to a detector as its training samples did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def padded(image: Tensor, shape: tuple[int, int], detector: nn.Module) -> Tensor:
    """An image with more of its detector's ground at the right and bottom, as a chip has that the image does not fill.

    Where all chips of a scale have such a border and those of another have none, it tells the network which scale it
    sees: without it, one with group norm lost four fifths of its AP at the coarse scale.

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
    preprocessor = detector.data_preprocessor
    colour = image.new_tensor(getattr(preprocessor, 'pad_value', 0), dtype=torch.float32)
    if hasattr(preprocessor, 'mean'):  # it normalizes, after it has changed the order of channels
        colour = preprocessor.mean + colour * preprocessor.std
        colour = colour.flip(0) if preprocessor._channel_conversion else colour
    result = image.new_empty((image.shape[0], *shape))
    result[:] = colour if image.is_floating_point() else colour.round()
    result[:, :height, :width] = image
    return result


@contextmanager
def padded_to_strides(detector: nn.Module) -> Iterator[None]:
    """Within, a detector whose preprocessor pads to no multiple pads to multiples of 32.

    RTMDet and some others leave it to their pipelines to pad to what their strides need.
    """
    preprocessor = getattr(detector, 'data_preprocessor', None)
    if getattr(preprocessor, 'pad_size_divisor', None) != 1:
        yield
        return
    preprocessor.pad_size_divisor = 32
    try:
        yield
    finally:
        preprocessor.pad_size_divisor = 1
