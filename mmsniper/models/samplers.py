"""ValidRangeSampler: every labelled proposal trains the RoI head (SNIPER, sec. 3.4)."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import PseudoSampler, SamplingResult
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData

from ..registry import TASK_UTILS
from .valid_range import chip_labels, in_range, sizes_of


@TASK_UTILS.register_module()
class ValidRangeSampler(PseudoSampler):
    """Takes all positives and all background, in whatever proportion; appends ground truth that is in the range.

    SNIPER resamples nothing: its ~300 proposals per chip all train the head.

    Args:
        num: How many proposals are taken at most, the first, which an RPN scores best; -1 = all. What the assigner has
            left out does not count, so that these are the best of the chip's own sizes, as in the authors' code.
        add_gt_as_proposals: Append ground-truth boxes as proposals, those that the chip is to teach only.
        context: The head that builds the sampler; mmdet passes it, nothing here needs it.

    Raises:
        ValueError: If ``num`` is malformed.
    """

    def __init__(self, num: int = -1, add_gt_as_proposals: bool = True, context: Any = None) -> None:
        super().__init__()
        if isinstance(num, bool) or not isinstance(num, int) or num < -1 or num == 0:
            raise ValueError(
                f'num is how many proposals train the head, a whole number >= 1, or -1 for all; got {num!r}'
            )
        self.num = num
        self.add_gt_as_proposals = add_gt_as_proposals

    def sample(
        self, assign_result: AssignResult, pred_instances: InstanceData, gt_instances: InstanceData, **kwargs: Any
    ) -> SamplingResult:
        """Positives and background among the proposals.

        Args:
            assign_result: Labels of the N proposals.
            pred_instances: ``priors`` (N, 4), chip frame, best first.
            gt_instances: ``bboxes`` (G, 4), ``labels`` (G,), ``valid`` (G,) bool; metainfo ``valid_range``.
            **kwargs: Passed over.
        """
        priors, bboxes = get_box_tensor(pred_instances.priors), get_box_tensor(gt_instances.bboxes)
        is_gt = priors.new_zeros(len(priors), dtype=torch.uint8)
        if self.num >= 0:
            surplus = (assign_result.gt_inds >= 0).cumsum(0) > self.num
            assign_result.gt_inds = assign_result.gt_inds.masked_fill(surplus, -1)
        if self.add_gt_as_proposals and len(bboxes):
            valid, limits, _ = chip_labels(gt_instances)
            # Valid with a size out of the range: what no chip of its own scale can hold, and what is truncated.
            added = (valid | in_range(sizes_of(bboxes), limits)).nonzero().squeeze(1)
            priors = torch.cat([bboxes[added], priors])
            is_gt = torch.cat([is_gt.new_ones(len(added)), is_gt])
            assign_result = AssignResult(
                num_gts=len(bboxes),
                gt_inds=torch.cat([added + 1, assign_result.gt_inds]),
                max_overlaps=torch.cat([bboxes.new_ones(len(added)), assign_result.max_overlaps]),
                labels=torch.cat([gt_instances.labels[added], assign_result.labels]),
            )
        return SamplingResult(
            pos_inds=(assign_result.gt_inds > 0).nonzero().squeeze(1),
            neg_inds=(assign_result.gt_inds == 0).nonzero().squeeze(1),
            priors=priors,
            gt_bboxes=bboxes,
            assign_result=assign_result,
            gt_flags=is_gt,
        )
