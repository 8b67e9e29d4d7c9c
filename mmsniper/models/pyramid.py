"""The test pyramid of MultiScaleChipTTA: given, or that of the planner which the detector was trained with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.logging import print_log

from ..chips.inference import PAPER_RANGES, PAPER_SCALES, inference_pyramid, untaught_sizes
from ..chips.planner import ChipPlanner
from ..chips.scales import Scale, check_ranges, check_scales, scale_factor

# In place of scales or ranges: they follow from the planner.
FOLLOWS = 'planner'
# At a zoom below this share of training's, small objects are hardly seen.
SMALLEST_ZOOM = 0.5
HOOK = "default_hooks=dict(evaluation=dict(type='mmsniper.EvaluationHook'))"

Ranges = list[list[float]]


def find_planner(cfg: Mapping) -> dict | None:
    """The planner's settings in a config's ``train_dataloader``, whatever is wrapped around them.

    None if there is none, or there are several which differ: that is said.
    """
    found = list(_planners(cfg.get('train_dataloader')))
    if any(planner != found[0] for planner in found[1:]):
        text = 'train_dataloader has planners that differ, so tta_cfg cannot follow: give its scales and ranges'
        print_log(text, 'current', logging.WARNING)
        return None
    return dict(found[0]) if found else None


def _planners(node: Any) -> Iterator[Mapping]:
    if isinstance(node, Mapping):
        planner = node.get('planner')
        if isinstance(planner, Mapping) and 'valid_ranges' in planner:
            yield planner
    for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, (list, tuple)) else ():
        yield from _planners(child)


def choose_pyramid(
    scales: Any, ranges: Any, planner: ChipPlanner | None, is_rpn: bool = False
) -> tuple[tuple[Scale, ...], Ranges]:
    """The scales and ranges to test at; what was not given is logged.

    Args:
        scales: As ``tta_cfg`` has them, ``FOLLOWS`` = to be taken from the planner.
        ranges: As ``tta_cfg`` has them.
        planner: What the detector is trained with; None = not known, and the paper's take its place.
        is_rpn: Of an RPN, which is asked for proposals of all sizes.

    Returns:
        The scales, and per scale (lo, hi), image pixels, with open ends as 0 and inf.

    Raises:
        ValueError: If they are malformed, or of another number than the planner's.
    """
    follows = FOLLOWS in (scales, ranges)
    taken = inference_pyramid(planner) if planner else (PAPER_SCALES, np.array(PAPER_RANGES))
    scales = taken[0] if scales == FOLLOWS else check_scales(scales)
    if ranges is None:
        ranges = [(None, None)] * len(scales)
    elif ranges == FOLLOWS:
        if len(scales) != len(taken[0]):
            raise ValueError(
                f'tta_cfg has {len(scales)} scales, {scales}, but the planner {len(taken[0])}, so the ranges to test '
                'at do not follow from it: give tta_cfg.ranges, too'
            )
        ranges = taken[1].tolist()
    ranges = check_ranges(ranges, scales, 'ranges').tolist()
    if follows and planner:
        print_log(f'MultiScaleChipTTA tests at {written(scales, ranges)}, which follows from the planner', 'current')
    elif follows:
        text = (
            f'MultiScaleChipTTA knows no planner, and tests at {written(scales, ranges)}, which is for the '
            "paper's: write scales and ranges into tta_model.tta_cfg, or, if train_dataloader has a planner, "
            f'{HOOK}, and they follow from it'
        )
        print_log(text, 'current', logging.INFO if is_rpn else logging.WARNING)
    return scales, ranges


def say_if_untaught(
    scales: tuple[Scale, ...], ranges: Ranges, planner: ChipPlanner, size: tuple[int, int], name: str
) -> None:
    """Warn if a pyramid that was given is not what the planner taught.

    Args:
        scales: To test at.
        ranges: Per scale (lo, hi), image pixels.
        planner: What the detector is trained with.
        size: (width, height) of an image.
        name: The image's.
    """
    found = untaught_sizes(planner, scales, np.array(ranges), size)
    if not found:
        return
    parts = [
        f'{_text(scales[one.scale_idx])} (a zoom of {one.zoom:.2g}) answers for {one.low:.0f} to {one.high:.0f} px, '
        f'which training shows at a zoom of {" and ".join(f"{zoom:.2g}" for zoom in one.taught_at)}'
        for one in found
    ]
    follows = inference_pyramid(planner)
    print_log(
        f"tta_cfg's scales and ranges do not fit the planner. In {name}, {size[0]} x {size[1]} px: "
        f"{'; '.join(parts)}. Write tta_model=dict(tta_cfg=dict(scales='{FOLLOWS}', ranges='{FOLLOWS}')), and they "
        f'follow: {written(follows[0], follows[1].tolist())}',
        'current',
        logging.WARNING,
    )


def say_if_reduced(
    scales: tuple[Scale, ...], ranges: Ranges, planner: ChipPlanner | None, size: tuple[int, int], name: str
) -> bool:
    """Warn if even the finest scale reduces an image by more than anybody may have thought of; whether it does.

    A zoom factor is what was asked for; a pair of edges does this to a large image. Arguments as above; the planner is
    None if it is not known.
    """
    zooms = [scale_factor(scale, *size) for scale in scales]
    taught = max(scale_factor(scale, *size) for scale in planner.scales) if planner else 1.0
    finest = max(range(len(zooms)), key=zooms.__getitem__)
    by_edges = isinstance(scales[finest], tuple)
    if not by_edges or zooms[finest] >= SMALLEST_ZOOM * taught or ranges[finest][0] > 0:
        return False
    trained, remedy = '', 'a zoom factor such as 1.0 as the finest of tta_cfg.scales'
    if planner:
        trained = f', trained at {taught:.2g}'
        remedy = f'tta_model=dict(tta_cfg=dict(scales=[{", ".join(map(_text, planner.scales))}]))'
    print_log(
        f'{name}, {size[0]} x {size[1]} px: seen at a zoom of {zooms[finest]:.2g} at most{trained}, small objects may '
        f'be lost; {remedy} shows it in tiles. This is said of the first such image only',
        'current',
        logging.WARNING,
    )
    return True


def follow_config(model: Any, cfg: Mapping) -> None:
    """Let a model that tests at several scales take what it was not given from a config's planner; others stay as is.

    Args:
        model: A detector, in whatever test-time augmentation.
        cfg: The config it is, or was, trained by.
    """
    if hasattr(model, 'follow'):
        model.follow(find_planner(cfg))


def written(scales: tuple[Scale, ...], ranges: Ranges) -> str:
    """Scales and ranges as a config has them."""
    pairs = [
        f'({"None" if low == 0 else f"{low:.4g}"}, {"None" if np.isinf(high) else f"{high:.4g}"})'
        for low, high in ranges
    ]
    return f'scales=[{", ".join(map(_text, scales))}], ranges=[{", ".join(pairs)}]'


def _text(scale: Scale) -> str:
    return f'({scale[0]:g}, {scale[1]:g})' if isinstance(scale, tuple) else repr(float(scale))
