"""Limits on the number of detections, and what they leave out without anybody seeing it."""

from __future__ import annotations

from mmdet.structures import DetDataSample
from torch import nn

# Detections of an image are as many as this for each tile of the scale that has most tiles.
PER_TILE = 200


def own_limit(detector: nn.Module) -> int | None:
    """How many detections a detector keeps of what it is shown; None if it says nothing of it."""
    test_cfg = getattr(detector, 'test_cfg', None) or {}
    limit = (test_cfg.get('rcnn') or test_cfg).get('max_per_img')
    return limit if limit is not None and limit >= 0 else None


def describe(sample: DetDataSample, most: int, view_limit: int | None) -> str:
    """In words, what limits have left out of an image though it would be drawn; '' if nothing.

    Args:
        sample: With ``n_left_out``, detections beyond `most`, and ``n_full_views``, views that are full.
        most: The limit of the image.
        view_limit: The limit of a view.
    """
    parts = []
    if n_left_out := sample.get('n_left_out', 0):
        parts.append(
            f'{n_left_out} more detections that would be drawn are left out by max_per_img={most}: set '
            f'tta_model.tta_cfg.max_per_img={most + n_left_out} or more, or -1'
        )
    if n_full_views := sample.get('n_full_views', 0):
        parts.append(
            f'{n_full_views} views have as many detections as the detector gives, {view_limit}, and may have more: set '
            "max_per_img in model.test_cfg (of a two-stage detector: .rcnn) higher, or tta_cfg's max_canvas lower"
        )
    return '; '.join(parts)
