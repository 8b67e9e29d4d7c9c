"""ValidRangeFCOSHead: FCOS with labels by valid range.

FCOS labels points in its head, not in an assigner that ``train_cfg`` could name, hence a head of ours.
"""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import FCOSHead
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..registry import MODELS
from .valid_range import carry_regions, chip_labels, plain_instances, regions_of

LEFT_OUT = -1


class _LabelledOnly(nn.Module):
    """A classification loss over the points that have a label."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, scores: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
        """Scores (N, classes), labels (N,) with ``LEFT_OUT`` for points that teach nothing."""
        left_out = labels == LEFT_OUT
        # By weight: of no points at all, mmcv's focal loss on a GPU cannot be asked.
        weight = (~left_out).to(scores.dtype)
        return self.loss(scores, labels.masked_fill(left_out, scores.shape[1]), weight=weight, **kwargs)


@MODELS.register_module()
class ValidRangeFCOSHead(FCOSHead):
    """FCOS's head for chips: only valid ground truth makes positive points (SNIPER, sec. 3.4, on points).

    A point that FCOS would give to an invalid box is not background but left out, and so is one inside an ignored
    region. Points of valid boxes keep them, whatever lies behind.

    Arguments as for ``FCOSHead``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_cls = _LabelledOnly(self.loss_cls)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """As FCOS, whose targets see nothing but ``gt_instances``: the ignored regions travel in their metainfo."""
        for gt_instances, ignored in zip(batch_gt_instances, batch_gt_instances_ignore or [], strict=False):
            carry_regions(gt_instances, ignored)
        return super().loss_by_feat(cls_scores, bbox_preds, centernesses, batch_gt_instances, batch_img_metas)

    def _get_targets_single(
        self, gt_instances: InstanceData, points: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Labels (N,) and distances to the box's sides (N, 4) of the N points of an image."""
        valid = chip_labels(gt_instances).valid

        def targets(which: Tensor) -> tuple[Tensor, Tensor]:
            return super(ValidRangeFCOSHead, self)._get_targets_single(
                plain_instances(gt_instances, which), points, *args, **kwargs
            )

        labels, distances = targets(valid)
        left_out = targets(~valid)[0] != self.num_classes
        regions = regions_of(gt_instances)
        inside = (points[:, None] >= regions[:, :2]) & (points[:, None] < regions[:, 2:])
        left_out |= inside.all(dim=2).any(dim=1)
        labels[left_out & (labels == self.num_classes)] = LEFT_OUT
        return labels, distances
