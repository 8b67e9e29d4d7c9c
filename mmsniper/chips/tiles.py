"""Overlapping tiles of a canvas too large for one forward pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tile_origins(length: int, side: int, overlap: int) -> NDArray[np.int64]:
    """Where to start windows along one axis, so that they cover it and each shares enough with the next.

    Every interval of at most `overlap` pixels lies in one window whole.

    Args:
        length: Length of the axis in pixels.
        side: Length of a window, at most `length`.
        overlap: Least number of pixels that neighbours share, less than `side`.

    Returns:
        Origins, evenly spread, the first 0 and the last ``length - side``.
    """
    n_steps = -(-(length - side) // (side - overlap))
    return np.arange(n_steps + 1) * (length - side) // max(n_steps, 1)
