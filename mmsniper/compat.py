"""Lets torch >= 2.6 read the checkpoints that mmengine writes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version


def allow_mmengine_checkpoints() -> None:
    """Allow-list what an mmengine checkpoint holds beside tensors.

    ``torch.load`` reads only allow-listed types since torch 2.6, and mmengine up to 0.10 saves its message hub (buffers
    of logged numbers) in every checkpoint. Naming these types keeps the safety on for everything else.
    """
    if digit_version(torch.__version__) < digit_version('2.6.0'):
        return  # reads everything unless told otherwise
    multiarray = getattr(np, '_core', None) or np.core
    dtypes = {type(np.dtype(kind)) for kind in ('bool', 'int32', 'int64', 'float32', 'float64')}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_buffer_statistic, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            multiarray.multiarray._reconstruct,
            multiarray.multiarray.scalar,
            *dtypes,
        ]
    )


def _buffer_statistic(owner: Any, name: str) -> Any:
    """What getattr may do in a checkpoint: name a statistic of a buffer, and nothing else.

    Allow-listing the real getattr would hand over every object there is.

    Raises:
        UnpicklingError: If anything else is asked for.
    """
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'a checkpoint asks for {owner!r}.{name}, which no mmengine checkpoint does')
    return getattr(owner, name)
