"""Assigners that label by valid range: what makes SNIPER more than random crops (SNIPER, sec. 3.4; SNIP, sec. 5).

Each is one of mmdet's and takes its arguments; they belong in ``train_cfg``. None ever turns an object or an ignored
region into background.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, ATSSAssigner, MaxIoUAssigner
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from ..registry import TASK_UTILS
from .valid_range import chip_labels, in_any_range, in_range, leave_out_background, plain_instances, sizes_of


class _ChipRules:
    """Before an mmdet assigner: this package's rule for ignored regions instead of mmdet's, which forgets them in
    chips without ground truth, and valid ground truth alone for anchors."""

    invalid_iou_thr: float

    def __init__(self, *args: Any, region_iof_thr: float = 0.5, **kwargs: Any) -> None:
        # A config that inherits mmdet's assigner brings its ignore_iof_thr along; region_iof_thr replaces it.
        kwargs['ignore_iof_thr'] = -1
        super().__init__(*args, **kwargs)
        self.region_iof_thr = region_iof_thr

    def _leave_out_regions(self, result: AssignResult, priors: Tensor, ignored: InstanceData | None) -> None:
        if ignored is not None and 'bboxes' in ignored:
            leave_out_background(result, priors, ignored.bboxes, self.region_iof_thr, 'iof')

    def _label_anchors(
        self,
        assign: Callable[[InstanceData], AssignResult],
        priors: Tensor,
        gt_instances: InstanceData,
        ignored: InstanceData | None,
    ) -> AssignResult:
        """Positives from valid ground truth; no background where an invalid box or a region is."""
        valid = chip_labels(gt_instances).valid
        taught, invalid = valid.nonzero().squeeze(1), (~valid).nonzero().squeeze(1)
        result = assign(plain_instances(gt_instances, taught))
        # Numbers among the taught to numbers among all; 0 is background still, and -1 finds the last, -1.
        result.gt_inds = F.pad(F.pad(taught + 1, (1, 0)), (0, 1), value=-1)[result.gt_inds]
        result.num_gts = len(valid)
        leave_out_background(result, priors, gt_instances.bboxes[invalid], self.invalid_iou_thr, 'iou')
        self._leave_out_regions(result, priors, ignored)
        return result


@TASK_UTILS.register_module()
class ValidRangeAssigner(_ChipRules, MaxIoUAssigner):
    """For anchors, of an RPN or a one-stage head: only valid ground truth makes positives.

    Would-be background is left out where its IoU with an invalid box exceeds ``invalid_iou_thr``, or where more than
    ``region_iof_thr`` of it lies in an ignored region.

    Args:
        *args: As for ``MaxIoUAssigner``.
        invalid_iou_thr: IoU with an invalid box above which an anchor is not background.
        region_iof_thr: Share of an anchor inside an ignored region above which it is not background.
        **kwargs: As for ``MaxIoUAssigner``; ``ignore_iof_thr`` has no effect.
    """

    def __init__(self, *args: Any, invalid_iou_thr: float = 0.3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invalid_iou_thr = invalid_iou_thr

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Label the N priors.

        Args:
            pred_instances: ``priors`` (N, 4), chip frame.
            gt_instances: ``bboxes`` (G, 4), ``labels`` (G,), ``valid`` (G,) bool; metainfo ``valid_range``.
            gt_instances_ignore: ``bboxes`` (R, 4) of ignored regions.
            **kwargs: Passed over.

        Returns:
            ``gt_inds`` (N,): 1-based index of the matched box of `gt_instances`, 0 background, -1 left out.
        """
        assign = partial(super().assign, pred_instances)
        return self._label_anchors(assign, pred_instances.priors, gt_instances, gt_instances_ignore)


@TASK_UTILS.register_module()
class ValidRangeATSSAssigner(_ChipRules, ATSSAssigner):
    """:class:`ValidRangeAssigner` for ATSS and its relatives, whose positives are chosen by each object's statistics.

    Args:
        *args: As for ``ATSSAssigner``.
        invalid_iou_thr: IoU with an invalid box above which an anchor is not background. What ATSS would choose for an
            invalid box is not background either, however small the IoU.
        region_iof_thr: Share of an anchor inside an ignored region above which it is not background.
        **kwargs: As for ``ATSSAssigner``; ``ignore_iof_thr`` has no effect.
    """

    def __init__(self, *args: Any, invalid_iou_thr: float = 0.3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invalid_iou_thr = invalid_iou_thr

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Label the N priors; as :meth:`ValidRangeAssigner.assign`, with the number of priors per level."""
        assign = partial(super().assign, pred_instances, num_level_priors)
        result = self._label_anchors(assign, pred_instances.priors, gt_instances, gt_instances_ignore)
        invalid = plain_instances(gt_instances, ~chip_labels(gt_instances).valid)
        result.gt_inds[(assign(invalid).gt_inds > 0) & (result.gt_inds == 0)] = -1
        return result


@TASK_UTILS.register_module()
class ValidRangeRoIAssigner(_ChipRules, MaxIoUAssigner):
    """For RoI heads: every object labels proposals, valid or not; proposals with a size out of the range are left out.

    Proposals on a valid object that is itself out of the range (no chip of its own scale can hold it) stay. Where no
    proposal would be left at all, the background among those out of the range stays, so that a chip has a loss unless
    all of it lies in ignored regions. In mixed chips the range is that of the object's chip, and any chip's for
    background.

    Args:
        *args: As for ``MaxIoUAssigner``.
        region_iof_thr: Share of a proposal inside an ignored region above which it is not background.
        **kwargs: As for ``MaxIoUAssigner``; ``ignore_iof_thr`` has no effect.
    """

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Label the N proposals; arguments and result as for :meth:`ValidRangeAssigner.assign`."""
        valid, limits, chip_limits = chip_labels(gt_instances)
        priors = pred_instances.priors
        result = super().assign(pred_instances, plain_instances(gt_instances))
        self._leave_out_regions(result, priors, gt_instances_ignore)
        sizes = sizes_of(priors)
        teaches = in_any_range(sizes, chip_limits)
        if len(valid):
            rescued = valid & ~in_range(sizes_of(gt_instances.bboxes), limits)
            objects = (result.gt_inds - 1).clamp(min=0)
            on_object = in_range(sizes, limits[objects]) | rescued[objects]
            teaches = torch.where(result.gt_inds > 0, on_object, teaches)
        nothing_teaches = ~(teaches & (result.gt_inds >= 0)).any()
        teaches |= nothing_teaches & (result.gt_inds == 0)
        result.gt_inds.masked_fill_(~teaches, -1)
        return result
