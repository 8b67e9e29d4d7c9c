"""Network pixels: what a training recipe costs, counted with the padding.

Shapes: I images, N chips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .planner import ChipPlanner, Chips
from .scales import Scale, scale_factor

# What COCO's detectors are trained and tested at, once per image: mmdet's usual scale.
SINGLE_SCALE = (1333, 800)


def chip_pixels(planner: ChipPlanner, chips: Chips, divisor: int) -> int:
    """Network pixels of chips.

    Args:
        planner: Made the chips, knows what they are padded to.
        chips: N chips.
        divisor: Sides are padded to a multiple of this, as by the model's data preprocessor.
    """
    extents = np.rint((chips.bboxes[:, 2:] - chips.bboxes[:, :2]) * chips.scale[:, None]).clip(1).astype(np.int64)
    extents, counts = np.unique(extents, axis=0, return_counts=True)
    samples = np.array([planner.canvas((width, height)) for width, height in extents.tolist()]).reshape(-1, 2)
    return int(padded_areas(samples, divisor) @ counts)


def resized_pixels(sizes: NDArray[np.int64], scales: Sequence[Scale], divisor: int) -> float:
    """Mean network pixels of whole images, resized as mmdet's ``Resize`` does with ``keep_ratio=True``.

    Args:
        sizes: (I, 2), (width, height) of each image.
        scales: What they are resized to; of several, each as often as the others.
        divisor: As for :func:`chip_pixels`.
    """
    sizes, counts = np.unique(sizes, axis=0, return_counts=True)
    areas = []
    for scale in scales:
        factors = np.array([scale_factor(scale, *size) for size in sizes.tolist()])
        areas.append(padded_areas((sizes * factors[:, None] + 0.5).astype(np.int64), divisor))
    return float(np.mean(areas, axis=0) @ counts / counts.sum())


def padded_areas(sizes: NDArray[np.int64], divisor: int) -> NDArray[np.int64]:
    """Pixels of (N, 2) samples, each side padded to a multiple: (N,)."""
    return (-(-sizes // divisor) * divisor).prod(axis=1)
