"""What an instance of a chip is good for, kept in ``gt_ignore_flags``.

mmdet knows two values, 0 and 1. A third one, and no array beside it, marks boxes out of the chip's valid range: every
mmdet transform that drops or adds instances keeps ``gt_ignore_flags`` in step, so validity survives them all. For the
same reason the flags say where chips are mixed into one sample, which of them an instance comes from, and where the
chip cuts an object, how large it is as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...chips import IGNORED, INVALID, VALID

__all__ = ['IGNORED', 'INVALID', 'VALID', 'Flags', 'join_flags', 'split_flags']

_KINDS, _CHIPS = 3, 1024
# Sizes are kept to this part of a pixel.
_STEPS = 16


class Flags(NamedTuple):
    """What flags say of N instances.

    Attributes:
        kinds: (N,) int64.
        chip_idx: (N,) int64, which of the mixed chips it is from.
        sizes: (N,) float64, sqrt(area) of the whole object in network pixels; 0 = of what the box shows.
    """

    kinds: NDArray[np.int64]
    chip_idx: NDArray[np.int64]
    sizes: NDArray[np.float64]


def join_flags(kinds: NDArray, chip_idx: NDArray | int = 0, sizes: NDArray | float = 0) -> NDArray[np.int64]:
    """Flags of instances, (N,) int64; arguments are those of :class:`Flags`."""
    steps = np.rint(np.asarray(sizes, np.float64) * _STEPS).astype(np.int64)
    return np.asarray(kinds, np.int64) + _KINDS * (np.asarray(chip_idx, np.int64) + _CHIPS * steps)


def split_flags(flags: NDArray) -> Flags:
    """What flags (N,) say."""
    rest, kinds = np.divmod(np.asarray(flags, np.int64), _KINDS)
    steps, chip_idx = np.divmod(rest, _CHIPS)
    return Flags(kinds, chip_idx, steps / _STEPS)
