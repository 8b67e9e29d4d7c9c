"""What assigners and samplers ask about a chip's valid range.

On a GPU, tensors whose length depends on values (``boxes[mask]``, ``nonzero``) make the program wait for it, so there
are few of them here, and ``where`` and in-place fills instead.

Shapes: N priors, G ground-truth boxes, R ignored regions, C chips. Boxes are (., 4) xyxy tensors, chip frame.
"""

from __future__ import annotations

from typing import NamedTuple

from mmdet.models.task_modules.assigners import AssignResult
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor


class ChipLabels(NamedTuple):
    """What the ground truth of a sample says about valid ranges; limits are (lo, hi) on sqrt(area), chip pixels.

    Attributes:
        valid: (G,) bool, per box whether it is valid.
        limits: (G, 2), per box the limits of the chip that it comes from.
        chip_limits: (C, 2), the limits of the chips that the sample was made of: one, but for mixed chips.
    """

    valid: Tensor
    limits: Tensor
    chip_limits: Tensor


def chip_labels(gt_instances: InstanceData) -> ChipLabels:
    """Valid flags and ranges of packed ground truth.

    Raises:
        ValueError: If the instances were not packed by ``PackChipInputs``.
    """
    if 'valid' not in gt_instances or 'valid_range' not in gt_instances.metainfo_keys():
        raise ValueError(
            'the ground truth has no valid flags: valid-range assigners and samplers need chips packed by '
            'mmsniper.PackChipInputs (the training pipeline ends with mmdet.PackDetInputs?)'
        )
    valid = gt_instances.valid
    chip_limits = get_box_tensor(gt_instances.bboxes).new_tensor(gt_instances.valid_range).view(-1, 2)
    mixed = 'chip_idx' in gt_instances
    limits = chip_limits[gt_instances.chip_idx] if mixed else chip_limits.expand(len(valid), 2)
    return ChipLabels(valid, limits, chip_limits)


def sizes_of(bboxes: Tensor) -> Tensor:
    """What valid ranges are about, sqrt(width * height): (N, 4) -> (N,)."""
    boxes = get_box_tensor(bboxes)
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()


def in_range(sizes: Tensor, limits: Tensor) -> Tensor:
    """Sizes in [lo, hi): (N,), limits (N, 2) -> (N,) bool; broadcasts."""
    return (sizes >= limits[..., 0]) & (sizes < limits[..., 1])


def leave_out_background(
    result: AssignResult, priors: Tensor, bboxes: Tensor, thr: float, mode: str, nearer: Tensor | None = None
) -> None:
    """Withdraw the label background, in place, from priors that overlap a box by more than `thr`.

    Priors with a positive label keep it: the object they matched is there, whatever lies behind it.

    Args:
        result: ``gt_inds`` (N,): 0 is background, -1 left out.
        priors: (N, 4).
        bboxes: (R, 4).
        thr: Overlap above which a prior is left out.
        mode: 'iou', or 'iof' for the share of the prior that lies in the box.
        nearer: (V, 4), boxes of which none overlaps a prior more than the others do, if that is left out.
    """

    def most(boxes: Tensor) -> Tensor:
        # Predictions may be of half precision, in which the area of a large box is infinite.
        overlaps = bbox_overlaps(get_box_tensor(priors).float(), get_box_tensor(boxes).float(), mode=mode)
        return overlaps.max(dim=1).values

    if len(bboxes) and len(priors):
        found = most(bboxes)
        left_out = found > thr
        if nearer is not None and len(nearer):
            left_out &= found >= most(nearer)
        result.gt_inds[left_out & (result.gt_inds == 0)] = -1


def plain_instances(gt_instances: InstanceData, which: Tensor | slice = slice(None)) -> InstanceData:
    """What assigners read of some ground truth: boxes, labels, and masks where a head has made a tensor of them.

    Bitmaps and polygons would be costly to slice, and no assigner reads them.
    """
    plain = InstanceData(bboxes=gt_instances.bboxes[which], labels=gt_instances.labels[which])
    if isinstance(gt_instances.get('masks'), Tensor):
        plain.masks = gt_instances.masks[which]
    return plain


def regions_of(gt_instances: InstanceData, ignored: InstanceData | None = None) -> Tensor:
    """Boxes of ignored regions, (R, 4), as a head passes them, or as :func:`carry_regions` has left them."""
    if ignored is not None and 'bboxes' in ignored:
        return get_box_tensor(ignored.bboxes)
    none = get_box_tensor(gt_instances.bboxes).new_zeros(0, 4)
    return gt_instances.get('regions', none)


def carry_regions(gt_instances: InstanceData, ignored: InstanceData | None) -> None:
    """Let ignored regions travel in the metainfo of the ground truth, for heads that pass on nothing else."""
    gt_instances.set_metainfo(dict(regions=regions_of(gt_instances, ignored)))
