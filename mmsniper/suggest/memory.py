"""What a training step keeps in memory, measured on one forward pass of the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..checks.disk import MOMENTS
from ..models.memory import kept_for_backward

# A CUDA context, cuDNN's workspace and what the allocator leaves in pieces.
RESERVED, USED = 0.8e9, 0.85
# RPN, RoI head and losses keep so much beside backbone and neck; see benchmarks/step.py.
HEADS = 1.3


@dataclass(frozen=True)
class Memory:
    """An estimate of a training step's memory.

    Attributes:
        fixed: Bytes whatever the batch.
        per_chip: Bytes of each chip.
    """

    fixed: float
    per_chip: float

    def batch(self, gigabytes: float) -> int:
        """How many chips fit into a GPU with so much memory; 0 if none."""
        return max(int((USED * gigabytes * 1e9 - self.fixed) / self.per_chip), 0)

    def gigabytes(self, batch: int) -> float:
        """What a batch takes."""
        return (self.fixed + batch * self.per_chip) / 1e9


def estimate(cfg: Config, chip_size: int) -> Memory:
    """Measure what backbone and neck keep of one chip for the backward pass, and add the rest by experience.

    Args:
        cfg: A training config; its weights are not loaded.
        chip_size: Network pixels.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model).train()
    # Batch norm wants more than one value per channel, so a chip of a sensible size.
    with kept_for_backward(model) as kept:
        features = model.extract_feat(torch.zeros(1, 3, chip_size, chip_size))
    del features  # until here, or its memory would be given out again and be counted once
    weights = sum(weight.numel() for weight in model.parameters()) * 4
    half = 0.5 if 'Amp' in cfg.optim_wrapper.get('type', '') else 1.0
    copies = 2 + MOMENTS.get(cfg.optim_wrapper.optimizer.type, 2)  # themselves, gradients, the optimizer's
    return Memory(RESERVED + copies * weights, HEADS * half * sum(kept.values()))
