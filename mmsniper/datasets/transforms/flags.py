"""What an instance of a chip is good for, kept in ``gt_ignore_flags``.

mmdet knows two values, 0 and 1. A third one, and no array beside it, marks boxes out of the chip's valid range: every
mmdet transform that drops or adds instances keeps ``gt_ignore_flags`` in step, so validity survives them all. Where
chips are mixed into one sample, the flags also say, for the same reason, which of them an instance comes from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...chips import IGNORED, INVALID, VALID

__all__ = ['IGNORED', 'INVALID', 'VALID', 'join_flags', 'split_flags']

_KINDS = 3


def join_flags(kinds: NDArray, chip_idx: NDArray | int) -> NDArray[np.int64]:
    """Flags of instances: (N,) kinds, and (N,) which of the mixed chips each is from -> (N,)."""
    return np.asarray(kinds, np.int64) + _KINDS * np.asarray(chip_idx, np.int64)


def split_flags(flags: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Kinds (N,), and which of the mixed chips (N,), of flags (N,)."""
    chip_idx, kinds = np.divmod(np.asarray(flags, np.int64), _KINDS)
    return kinds, chip_idx
