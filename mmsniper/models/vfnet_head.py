"""ValidRangeVFNetHead: VFNet with labels by valid range."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import VFNetHead
from torch import Tensor, nn

from ..registry import MODELS
from .assigners import by_valid_range


class _Weighted(nn.Module):
    """A loss over scores (N, classes) with weights per prediction that whoever calls it does not know."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.weights: Tensor | None = None  # (N,)

    def forward(self, scores: Tensor, targets: Tensor, **kwargs: Any) -> Tensor:
        """Scores and targets (N, classes)."""
        weights = self.weights if self.weights is None else self.weights[:, None]
        return self.loss(scores, targets, weight=weights, **kwargs)


@MODELS.register_module()
class ValidRangeVFNetHead(VFNetHead):
    """VFNet's head for chips: only valid ground truth makes positives, see :class:`ValidRange`, as which it uses its
    assigner.

    mmdet gives the varifocal loss no weights, so that what the assigner leaves out would be background.

    Arguments as for ``VFNetHead``.

    Raises:
        ValueError: If it labels points as FCOS does, ``use_atss=False``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_atss:
            raise ValueError(
                'ValidRangeVFNetHead(use_atss=False) would label points without an assigner; leave use_atss=True, or '
                'use mmsniper.ValidRangeFCOSHead'
            )
        if self.train_cfg:
            self.assigner = by_valid_range(self.assigner)
        if self.use_vfl:
            self.loss_cls = _Weighted(self.loss_cls)

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple:
        """As VFNet's; the weights are kept for the loss."""
        targets = super().get_targets(*args, **kwargs)
        if self.use_vfl:
            self.loss_cls.weights = targets[1]
        return targets
