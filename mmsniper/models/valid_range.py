"""What assigners and samplers ask about a chip's valid range.

Shapes: N priors, G ground-truth boxes, R ignored regions. Boxes are (., 4) xyxy tensors, chip frame.
"""

from __future__ import annotations

from mmdet.models.task_modules.assigners import AssignResult
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor


def chip_labels(gt_instances: InstanceData) -> tuple[Tensor, tuple[float, float]]:
    """Per box whether it is valid, (G,) bool, and the chip's valid range (lo, hi) on sqrt(area), chip pixels.

    Raises:
        ValueError: If the instances were not packed by ``PackChipInputs``.
    """
    if 'valid' not in gt_instances or 'valid_range' not in gt_instances.metainfo_keys():
        raise ValueError(
            'the ground truth has no valid flags: valid-range assigners and samplers need chips packed by '
            'mmsniper.PackChipInputs (the training pipeline ends with mmdet.PackDetInputs?)'
        )
    return gt_instances.valid, gt_instances.valid_range


def in_range(bboxes: Tensor, valid_range: tuple[float, float]) -> Tensor:
    """Boxes whose sqrt(width * height) is in [lo, hi): (N, 4) -> (N,) bool."""
    boxes = get_box_tensor(bboxes)
    sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()
    return (sizes >= valid_range[0]) & (sizes < valid_range[1])


def in_range_or_valid(gt_instances: InstanceData) -> Tensor:
    """Ground truth that this chip is to teach, (G,) bool: what shows of it has a size in the range, or it is valid.

    Valid with a size out of the range are objects that no chip of their own scale can hold, and truncated ones.
    """
    valid, valid_range = chip_labels(gt_instances)
    return valid | in_range(gt_instances.bboxes, valid_range)


def leave_out_background(result: AssignResult, priors: Tensor, bboxes: Tensor, thr: float, mode: str) -> None:
    """Withdraw the label background, in place, from priors that overlap a box by more than `thr`.

    Priors with a positive label keep it: the object they matched is there, whatever lies behind it.

    Args:
        result: ``gt_inds`` (N,): 0 is background, -1 left out.
        priors: (N, 4).
        bboxes: (R, 4).
        thr: Overlap above which a prior is left out.
        mode: 'iou', or 'iof' for the share of the prior that lies in the box.
    """
    if len(bboxes) and len(priors):
        overlaps = bbox_overlaps(get_box_tensor(priors), get_box_tensor(bboxes), mode=mode)
        result.gt_inds[(overlaps.max(dim=1).values > thr) & (result.gt_inds == 0)] = -1


def plain_instances(bboxes: Tensor, labels: Tensor) -> InstanceData:
    """Instances of boxes and labels alone, which is all that assigners read; masks would be costly to slice."""
    return InstanceData(bboxes=bboxes, labels=labels)
