"""Random transforms that do not depend on which worker runs them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, the global generators that transforms draw from start at `seed`; then they are as before.

    mmengine seeds workers alike every epoch, so without this augmentations repeat, and differ with the number of
    workers.

    Args:
        seed: Any whole number in [0, 2**32).
    """
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU too, for good
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
