"""Lets torch >= 2.6 read the checkpoints that mmengine writes."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


def allow_mmengine_checkpoints() -> None:
    """Allow-list what an mmengine checkpoint holds beside tensors.

    ``torch.load`` reads only allow-listed types since torch 2.6, and mmengine up to 0.10 saves its message hub (buffers
    of logged numbers) in every checkpoint. Naming these harmless types keeps the safety on for everything else.
    """
    register = getattr(torch.serialization, 'add_safe_globals', None)
    if register is None:  # torch < 2.4 has no allow-list and needs none
        return
    multiarray = getattr(np, '_core', None) or np.core
    reconstruct = multiarray.multiarray._reconstruct
    scalar = multiarray.multiarray.scalar
    dtypes = {type(np.dtype(kind)) for kind in ('bool', 'int32', 'int64', 'float32', 'float64')}
    register([HistoryBuffer, np.ndarray, np.dtype, reconstruct, scalar, getattr, *dtypes])
