"""Assigners that label by valid range: what makes SNIPER more than random crops (SNIPER, sec. 3.4; SNIP, sec. 5).

They belong in ``train_cfg``. None ever turns an object or an ignored region into background.
"""

from __future__ import annotations

from inspect import signature
from logging import WARNING
from typing import Any

import torch
from mmdet.models.task_modules.assigners import (
    AssignResult,
    ATSSAssigner,
    BaseAssigner,
    DynamicSoftLabelAssigner,
    MaxIoUAssigner,
    SimOTAAssigner,
)
from mmdet.registry import TASK_UTILS as MMDET_TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from ..registry import TASK_UTILS
from .valid_range import (
    chip_labels,
    in_range,
    leave_out_background,
    plain_instances,
    regions_of,
    sizes_of,
)

# Their priors are (x, y, stride, stride).
OF_POINTS = DynamicSoftLabelAssigner, SimOTAAssigner


@TASK_UTILS.register_module()
class ValidRange(BaseAssigner):
    """An assigner of mmdet's, for chips: only valid ground truth makes positives (SNIPER, sec. 3.4).

    It is one that gives boxes to priors or queries, as all do but those of masks.

    A prior that would be background is left out if the assigner, asked for the invalid boxes alone, gives it to one; if
    its box overlaps an invalid box by an IoU above ``invalid_iou_thr``; or if more than ``region_iof_thr`` of its box
    lies in an ignored region. The box of an anchor is the anchor. That of a query or a point is its prediction; for
    regions, that of a point is its cell, since a first prediction may be no box at all. Queries are left out by their
    boxes alone, as an assigner gives one to every object, near or not; and not where a valid box overlaps them more,
    as nothing else teaches them that it has its query already. A positive stays one, whatever lies behind it.

    In a config that inherits one of mmdet's, the assigner's name is all there is to write; its settings stay there::

        train_cfg = dict(assigner=dict(type='mmsniper.ValidRange', assigner='TaskAlignedAssigner'))

    Args:
        assigner: Name of an assigner, whose settings are ``kwargs``; the config of one; or one.
        invalid_iou_thr: IoU with an invalid box above which a prior is not background.
        region_iof_thr: Share of a prior's box inside an ignored region above which it is not background.
        **kwargs: Settings of the assigner; ``ignore_iof_thr`` has no effect.

    Raises:
        TypeError: If the assigner is something else, or assigns something else than boxes.
        ValueError: If there is no assigner, or settings besides a whole one.
    """

    def __init__(
        self,
        assigner: str | dict | BaseAssigner | None = None,
        invalid_iou_thr: float = 0.3,
        region_iof_thr: float = 0.5,
        **kwargs: Any,
    ) -> None:
        if assigner is None:
            raise ValueError(
                "ValidRange(assigner=None): it makes another assigner go by valid range; write dict(type='mmsniper."
                "ValidRange', assigner='ATSSAssigner'), with the name of the one that stood there"
            )
        if kwargs and not isinstance(assigner, str):
            name = assigner.get('type') if isinstance(assigner, dict) else type(assigner).__name__
            raise ValueError(
                f'{", ".join(kwargs)}: settings of which assigner? ValidRange takes none beside a whole one ({name}). '
                f"Write dict(_delete_=True, type='mmsniper.ValidRange', assigner=dict(type={name!r}, ...)), or "
                f'assigner={name!r}, for which they are'
            )
        if isinstance(assigner, ValidRange) or not isinstance(assigner, (str, dict, BaseAssigner)):
            raise TypeError(f"ValidRange's assigner is one of mmdet's, its config or its name; got {assigner!r}")
        if isinstance(assigner, (str, dict)):
            assigner = MMDET_TASK_UTILS.build(dict(kwargs, type=assigner) if isinstance(assigner, str) else assigner)
        self.assigner: BaseAssigner = assigner
        self._signature = signature(assigner.assign)
        if not {'pred_instances', 'gt_instances'} <= self._signature.parameters.keys():
            raise TypeError(
                f'{type(assigner).__name__} does not take pred_instances and gt_instances, as those do that ValidRange '
                'makes go by valid range: see configs/sniper/README.md'
            )
        self.invalid_iou_thr = invalid_iou_thr
        self.region_iof_thr = region_iof_thr

    def assign(self, *args: Any, **kwargs: Any) -> AssignResult:
        """Label the N priors; called as the assigner itself is.

        Args:
            *args: Among them ``pred_instances``, with ``priors`` (N, 4) or, of queries, ``bboxes`` (N, 4), chip frame;
                ``gt_instances``, with ``bboxes`` (G, 4), ``labels`` (G,), ``valid`` (G,) bool, metainfo
                ``valid_range``; and ``gt_instances_ignore``, with ``bboxes`` (R, 4) of ignored regions.
            **kwargs: Likewise.

        Returns:
            The assigner's, with ``gt_inds`` (N,): 1-based index of the matched box of ``gt_instances``, 0 background,
            -1 left out.

        Raises:
            ValueError: If the ground truth has no boxes, or was not packed by ``PackChipInputs``.
        """
        given = self._signature.bind(*args, **kwargs)
        predicted, gt_instances = given.arguments['pred_instances'], given.arguments['gt_instances']
        if 'bboxes' not in gt_instances:
            raise ValueError(
                f'{type(self.assigner).__name__} in a head that gives it no boxes of the ground truth, by which '
                "ValidRange goes (MaskFormer's and Mask2Former's give masks alone): train it on all objects of a chip"
            )
        regions = regions_of(gt_instances, given.arguments.pop('gt_instances_ignore', None))
        valid = chip_labels(gt_instances).valid

        def assigned(which: Tensor) -> AssignResult:
            given.arguments['gt_instances'] = plain_instances(gt_instances, which)
            return self.assigner.assign(*given.args, **given.kwargs)

        taught, invalid = valid.nonzero().squeeze(1), (~valid).nonzero().squeeze(1)
        result = assigned(taught)
        # Numbers among the taught to numbers among all; 0 is background still, and -1 finds the last, -1.
        result.gt_inds = F.pad(F.pad(taught + 1, (1, 0)), (0, 1), value=-1)[result.gt_inds]
        result.num_gts = len(valid)
        iou_thr, has_priors = self.invalid_iou_thr, 'priors' in predicted
        asks = has_priors
        if isinstance(self.assigner, MaxIoUAssigner):  # gives by IoU: no need to ask again, but for low-quality matches
            iou_thr = min(iou_thr, self.assigner.pos_iou_thr)
            asks = self.assigner.match_low_quality and self.assigner.min_pos_iou < iou_thr
        if asks and len(invalid):
            result.gt_inds[(assigned(invalid).gt_inds > 0) & (result.gt_inds == 0)] = -1
        boxes = cells = predicted.priors if has_priors else predicted.bboxes.detach()
        if isinstance(self.assigner, OF_POINTS):
            boxes, cells = predicted.bboxes.detach(), bbox_cxcywh_to_xyxy(predicted.priors)
        nearer = None if has_priors else gt_instances.bboxes[taught]
        leave_out_background(result, boxes, gt_instances.bboxes[invalid], iou_thr, 'iou', nearer)
        leave_out_background(result, cells, regions, self.region_iof_thr, 'iof')
        return result


def by_valid_range(assigner: BaseAssigner) -> ValidRange:
    """An assigner in a :class:`ValidRange`, unless it is one; for heads of ours, so that configs need no word of it."""
    return assigner if isinstance(assigner, ValidRange) else ValidRange(assigner)


@TASK_UTILS.register_module()
class ValidRangeAssigner(ValidRange):
    """``ValidRange(assigner='MaxIoUAssigner')`` by its former name, which stays for one release.

    Args:
        *args: As for ``MaxIoUAssigner``.
        invalid_iou_thr: As for ``ValidRange``.
        region_iof_thr: As for ``ValidRange``.
        **kwargs: As for ``MaxIoUAssigner``.
    """

    former: type[BaseAssigner] = MaxIoUAssigner

    def __init__(self, *args: Any, invalid_iou_thr: float = 0.3, region_iof_thr: float = 0.5, **kwargs: Any) -> None:
        print_log(
            f'{type(self).__name__} is a former name, and will go: write '
            f"type='mmsniper.ValidRange', assigner={self.former.__name__!r}",
            'current',
            WARNING,
        )
        kwargs.pop('assigner', None)  # of a base that is written in the new way
        super().__init__(self.former(*args, **kwargs), invalid_iou_thr, region_iof_thr)


@TASK_UTILS.register_module()
class ValidRangeATSSAssigner(ValidRangeAssigner):
    """``ValidRange(assigner='ATSSAssigner')`` by its former name; arguments as for :class:`ValidRangeAssigner`."""

    former = ATSSAssigner


@TASK_UTILS.register_module()
class ValidRangeRoIAssigner(MaxIoUAssigner):
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

    def __init__(self, *args: Any, region_iof_thr: float = 0.5, **kwargs: Any) -> None:
        # mmdet's rule for ignored regions forgets them in chips without ground truth; region_iof_thr replaces it.
        super().__init__(*args, **{**kwargs, 'ignore_iof_thr': -1})
        self.region_iof_thr = region_iof_thr

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Label the N proposals; arguments and result as for :meth:`ValidRange.assign`."""
        valid, limits, chip_limits = chip_labels(gt_instances)
        priors = pred_instances.priors
        result = super().assign(pred_instances, plain_instances(gt_instances))
        leave_out_background(result, priors, regions_of(gt_instances, gt_instances_ignore), self.region_iof_thr, 'iof')
        sizes = sizes_of(priors)
        teaches = in_range(sizes[:, None], chip_limits).any(dim=1)
        if len(valid):
            rescued = valid & ~in_range(sizes_of(gt_instances.bboxes), limits)
            objects = (result.gt_inds - 1).clamp(min=0)
            on_object = in_range(sizes, limits[objects]) | rescued[objects]
            teaches = torch.where(result.gt_inds > 0, on_object, teaches)
        nothing_teaches = ~(teaches & (result.gt_inds >= 0)).any()
        teaches |= nothing_teaches & (result.gt_inds == 0)
        result.gt_inds.masked_fill_(~teaches, -1)
        return result
