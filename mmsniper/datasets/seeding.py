"""Random transforms that do not depend on which worker runs them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# Not in use just now. To take one is a hundred times as fast as to save and restore NumPy's state, or to make one.
_spare: list[np.random.MT19937] = []


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, the global generators that transforms draw from start at `seed`; then they are as before.

    mmengine seeds workers alike every epoch, so without this augmentations repeat, and differ with the number of
    workers.

    (But for the second of two normal numbers, which NumPy's ``randn`` keeps for its next call: it is drawn anew.)

    Args:
        seed: Any whole number in [0, 2**32).
    """
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_generator = np.random.get_bit_generator()
    generator = _spare.pop() if _spare else np.random.MT19937(0)
    try:
        np.random.set_bit_generator(generator)
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU too, for good
        yield
    finally:
        random.setstate(python_state)
        np.random.set_bit_generator(numpy_generator)
        _spare.append(generator)
        torch.set_rng_state(torch_state)
