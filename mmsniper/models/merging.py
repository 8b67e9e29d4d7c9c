"""From the detections of many views to those of one image (SNIPER, sec. 3.4).

Shapes: P detections of a view, K kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv.ops import batched_nms
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData
from torch import Tensor

from .masks import EncodedMasks, MaskPatch, crop_patches, encode
from .soft_nms import soft_nms
from .views import View


def from_view(
    predictions: InstanceData, view: View, image_size: tuple[int, int], size_range: tuple[float, float]
) -> InstanceData:
    """What a view may say of its image: detections of its sizes, in the image frame, none cut by an inner tile border.

    Args:
        predictions: ``bboxes`` (P, 4), ``scores`` (P,), ``labels`` (P,) if there are classes, and ``masks`` if any:
            (P, h, w) float probabilities in each box, or bool pasted into the view; all in the view frame.
        view: The view.
        image_size: (width, height) of the image.
        size_range: (lo, hi), half-open, on sqrt(width * height) in image pixels.

    Returns:
        ``bboxes`` (K, 4) float32, ``scores`` (K,), ``labels`` (K,) int64, and ``masks``, a list of K
        :class:`MaskPatch`, in the image frame.
    """
    view_bboxes = get_box_tensor(predictions.bboxes).float()
    masks = torch.as_tensor(predictions.masks) if 'masks' in predictions else None
    if masks is not None and not masks.is_floating_point() and not view_bboxes.any():
        view_bboxes = mask2bbox(masks).to(view_bboxes)  # SOLO has no boxes and gives zeros
    shown = view_bboxes
    if view.padded != view.shape:  # some find things in the padding: of them nothing is left
        shown = shown.clamp(min=0).minimum(shown.new_tensor(view.shape[::-1]).repeat(2))
        size_range = max(size_range[0], 1e-3), size_range[1]
    bboxes = view.to_image(shown)
    sizes = ((bboxes[:, 2] - bboxes[:, 0]) * (bboxes[:, 3] - bboxes[:, 1])).clamp(min=0).sqrt()
    keep = (sizes >= size_range[0]) & (sizes < size_range[1]) & view.whole(bboxes, image_size)
    found = InstanceData(
        bboxes=bboxes[keep],
        scores=predictions.scores[keep],
        labels=predictions.labels[keep] if 'labels' in predictions else keep.nonzero()[:, 0] * 0,
    )
    if masks is not None:
        masks = masks[keep.to(masks.device)]
        if masks.is_floating_point():
            patches = [MaskPatch(*one) for one in zip(masks, view.to_image(view_bboxes[keep]), strict=True)]
        else:
            masks = masks[:, : view.shape[0], : view.shape[1]]
            patches = [MaskPatch(values, view.to_image(bbox[None])[0]) for values, bbox in crop_patches(masks)]
        found.masks = [MaskPatch(values.flip(-1) if view.flip else values, bbox) for values, bbox in patches]
    return found


def merge(
    parts: list[InstanceData],
    image_size: tuple[int, int],
    nms: dict | None,
    score_thr: float = 0.0,
    max_per_img: int = -1,
    mask_thr: float = 0.5,
    on_cut: Callable[[Tensor], None] | None = None,
) -> InstanceData:
    """Join the detections of all views of one image.

    Args:
        parts: Per view what :func:`from_view` returns; at least one.
        image_size: (width, height) of the image.
        nms: ``dict(type='soft_nms', ...)`` with the arguments of :func:`~mmsniper.models.soft_nms.soft_nms`, or any
            NMS of ``mmcv.ops.batched_nms``; class by class unless it says ``class_agnostic=True``. None = nothing is
            suppressed.
        score_thr: Detections below are dropped, before and after. Soft-NMS has a ``min_score`` beside it, 1e-3 unless
            `nms` says otherwise.
        max_per_img: How many of the best are kept; -1 = all.
        mask_thr: A mask is where its value reaches this.
        on_cut: Is given the scores of what `max_per_img` leaves out, if that is anything.

    Returns:
        ``bboxes`` (K, 4), ``scores`` (K,) in descending order, ``labels`` (K,), and ``masks``, an
        :class:`EncodedMasks`, if the views have masks.
    """
    every = InstanceData.cat(parts)
    every = every[every.scores >= score_thr]
    scores, keep = _suppress(every.bboxes, every.scores, every.labels, nms)
    enough = scores >= score_thr
    scores, keep = scores[enough], keep[enough]
    if 0 <= max_per_img < len(scores):
        if on_cut is not None:
            on_cut(scores[max_per_img:])
        scores, keep = scores[:max_per_img], keep[:max_per_img]
    merged = every[keep]
    merged.scores = scores
    if 'masks' in every:
        patches = merged.pop('masks')
        merged.masks = EncodedMasks([encode(patch, image_size, mask_thr) for patch in patches], image_size)
    return merged


def check_nms(nms: dict | None) -> None:
    """Try what :func:`merge` takes as `nms`.

    Raises:
        ValueError: If it has no type, or does not work.
    """
    if nms is None:
        return
    if not isinstance(nms, dict) or 'type' not in nms:
        raise ValueError(f"nms needs a type, such as dict(type='soft_nms', sigma=0.55); got {nms!r}")
    try:
        _suppress(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), torch.zeros(1, dtype=torch.long), nms)
    except Exception as error:  # any mmcv's may raise
        raise ValueError(
            f'nms={dict(nms)} does not work: {error}; a config that replaces an inherited nms says '
            'nms=dict(_delete_=True, type=...)'
        ) from error


def _suppress(bboxes: Tensor, scores: Tensor, labels: Tensor, nms: dict | None) -> tuple[Tensor, Tensor]:
    """New scores (K,), descending, and the rows (K,) they belong to."""
    if nms is None or not len(scores):
        return scores.sort(descending=True, stable=True)
    if nms['type'] != 'soft_nms':
        kept, rows = batched_nms(bboxes, scores, labels, nms)
        return kept[:, -1], rows
    options = {key: value for key, value in nms.items() if key not in ('type', 'class_agnostic')}
    return soft_nms(bboxes, scores, labels * 0 if nms.get('class_agnostic') else labels, **options)
