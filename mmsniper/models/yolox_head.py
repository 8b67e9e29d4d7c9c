"""ValidRangeYOLOXHead: YOLOX with labels by valid range."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.dense_heads import YOLOXHead
from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import PseudoSampler, SamplingResult
from mmengine.structures import InstanceData
from torch import Tensor

from ..registry import MODELS
from .assigners import by_valid_range

LEFT_OUT = -1  # mmdet's binary cross entropy leaves out what is negative


class _Remembering(PseudoSampler):
    """Keeps how the last image's priors were labelled."""

    def sample(self, assign_result: AssignResult, *args: Any, **kwargs: Any) -> SamplingResult:
        """As any sampler that takes all."""
        self.gt_inds = assign_result.gt_inds
        return super().sample(assign_result, *args, **kwargs)


@MODELS.register_module()
class ValidRangeYOLOXHead(YOLOXHead):
    """YOLOX's head for chips: only valid ground truth makes positives, see :class:`ValidRange`, as which it uses its
    assigner.

    mmdet's objectness loss covers every prediction that is no positive, so that what the assigner leaves out would be
    background.

    Arguments as for ``YOLOXHead``.

    Raises:
        ValueError: If ``loss_obj`` is no ``CrossEntropyLoss`` with ``use_sigmoid``, which is the default.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not getattr(self.loss_obj, 'use_sigmoid', False) or not isinstance(self.loss_obj, CrossEntropyLoss):
            raise ValueError(
                'bbox_head.loss_obj has to leave out predictions without a label, as '
                "dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='sum') does; got "
                f'{type(self.loss_obj).__name__}'
            )
        if self.train_cfg:
            self.assigner = by_valid_range(self.assigner)
            self.sampler = _Remembering()

    @torch.no_grad()
    def _get_targets_single(
        self,
        priors: Tensor,
        cls_preds: Tensor,
        decoded_bboxes: Tensor,
        objectness: Tensor,
        gt_instances: InstanceData,
        img_meta: dict,
        gt_instances_ignore: InstanceData | None = None,
    ) -> tuple:
        """As YOLOX's, with ``LEFT_OUT`` among the targets of objectness."""
        targets = super()._get_targets_single(
            priors, cls_preds, decoded_bboxes, objectness, gt_instances, img_meta, gt_instances_ignore
        )
        if len(gt_instances):
            gt_inds = self.sampler.gt_inds
        else:  # mmdet asks no assigner then, but there may be ignored regions
            centres = torch.cat([priors[:, :2] + priors[:, 2:] / 2, priors[:, 2:]], 1)
            predicted = InstanceData(priors=centres, bboxes=decoded_bboxes, scores=cls_preds)
            gt_inds = self.assigner.assign(predicted, gt_instances, gt_instances_ignore).gt_inds
        objects = targets[2]
        objects[gt_inds < 0] = LEFT_OUT
        return targets
