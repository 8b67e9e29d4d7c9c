"""Which views of finer scales are worth it: FocusChips of what coarser ones have seen (AutoFocus, sec. 3.2, 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor, nn

from ...chips.focus import TINY, check_focus, focus_boxes, join_boxes
from ...chips.scales import scale_factor, scale_name
from ..padding import tells_shares
from ..tta_inputs import image_size, name_of
from ..valid_range import sizes_of
from ..views import BORDER, View, scale_views

if TYPE_CHECKING:
    from ..multi_scale_tta import MultiScaleChipTTA

Seen = tuple[View, DetDataSample]

# A scale so many times finer than the next has objects that nobody sees there: of 5 px, when they have 20 in it.
MOST_STEP = 4
# FocusChips become one where that shows at most so many more network pixels: a view of its own takes longer.
SPARE = 128**2
# By so many network pixels a detector may be wrong about where an object ends.
ASTRAY = 3
DEFAULTS = dict(threshold=0.02, dilate=3, min_size=256)


class FocusSettings(NamedTuple):
    """How the FocusChips of a scale are made; see :func:`~mmsniper.chips.focus.focus_chips`.

    Attributes:
        threshold: Probability above which a cell of the next coarser scale counts.
        dilate: Cells.
        min_size: Least side of a chip in network pixels of the scale.
    """

    threshold: float
    dilate: int
    min_size: float


def focus_settings(given: Mapping | Sequence[Mapping | None], n_scales: int | None) -> list[FocusSettings | None]:
    """Settings per scale that is looked at in part: all but the last, which is the coarsest.

    Args:
        given: As ``tta_cfg.focus`` has them, of all scales or of each; what is left out has its default, and a scale
            with None is looked at whole.
        n_scales: Of the pyramid; None = not known yet, and what is given is checked as far as that goes.

    Raises:
        TypeError: If it is something else, or a setting does not exist.
        ValueError: If one is malformed, or there are settings of another number of scales, or but one scale.
    """
    if n_scales is not None and n_scales < 2:
        raise ValueError(
            'tta_cfg.focus looks at a finer scale where a coarser one has seen something small, but tta_cfg has but '
            f'{n_scales} scale: take focus out, or give a second one'
        )
    listed = isinstance(given, (list, tuple))
    every = list(given) if listed else [given]
    if wrong := [one for one in every if not isinstance(one, Mapping) and not (listed and one is None)]:
        raise TypeError(f'tta_cfg.focus is dict(threshold=...), or a list of such, or None; got {wrong[0]!r}')
    if listed and n_scales is not None and len(every) != n_scales - 1:
        raise ValueError(
            f'tta_cfg.focus has settings of {len(every)} scales, but {n_scales - 1} of {n_scales} are looked at in '
            'part, all but the coarsest: give as many, or one dict for all'
        )
    found: list[FocusSettings | None] = []
    for one in every:
        if one is None:
            found.append(None)
            continue
        if unknown := set(one) - set(DEFAULTS):
            raise TypeError(f'tta_cfg.focus has no setting {sorted(unknown)}; there are {sorted(DEFAULTS)}')
        settings: dict[str, Any] = {**DEFAULTS, **one}
        try:
            check_focus(**settings)
        except ValueError as error:
            raise ValueError(f'tta_cfg.focus: {error}') from None
        found.append(FocusSettings(**settings))
    return found if listed else found * ((n_scales or 2) - 1)


def check_branch(detector: nn.Module) -> None:
    """See that a detector has a branch, and that it is trained.

    Raises:
        ValueError: If not; with the line to write.
    """
    head = getattr(detector, 'focus_head', None)
    if head is None:
        raise ValueError(
            f'tta_cfg.focus needs a detector with a FocusHead: train with model=dict(type="mmsniper.WithFocus", '
            f"detector='{type(detector).__name__}'), or take focus out"
        )
    if not head.trained:
        raise ValueError(
            'tta_cfg.focus needs a trained FocusHead, but the checkpoint has none: it comes from a detector without '
            'mmsniper.WithFocus. Train with it, or take focus out'
        )


def next_chips(
    found: Sequence[Seen],
    settings: FocusSettings,
    zoom: float,
    stride: int,
    size: tuple[int, int],
) -> NDArray[np.int64]:
    """FocusChips of the next finer scale of an image.

    Args:
        found: The views of a scale, and what was seen there, with ``focus``.
        settings: Of the finer scale.
        zoom: Of the finer scale, network pixels per image pixel.
        stride: Network pixels per cell.
        size: (width, height) of the image.

    Returns:
        (K, 4) xyxy, whole image pixels. They may overlap.
    """
    boxes = [np.zeros((0, 4), np.int64)]
    for view, sample in found:
        x1, y1, x2, y2 = view.window
        steps = stride / view.zoom[0], stride / view.zoom[1]
        part = focus_boxes(sample.focus.cpu(), settings.threshold, settings.dilate, steps, (x2 - x1, y2 - y1))
        if view.flip:
            part[:, [0, 2]] = x2 - x1 - part[:, [2, 0]]
        boxes.append(part + np.array([x1, y1, x1, y1]))
    return join_boxes(np.concatenate(boxes), settings.min_size / zoom, size, SPARE / zoom**2)


def seen_whole(bboxes: Tensor, chips: NDArray[np.int64], margin: float, size: tuple[int, int]) -> Tensor:
    """Which boxes lie in a chip, off its borders inside the image: (P, 4), (K, 4), image frame -> (P,) bool.

    Args:
        bboxes: Detections of a coarser scale.
        chips: Of the next finer one.
        margin: Image pixels.
        size: (width, height) of the image.
    """
    first, last = np.split(chips.astype(float), 2, axis=1)
    first = bboxes.new_tensor(np.where(first == 0, -np.inf, first + margin))
    last = bboxes.new_tensor(np.where(last == size, np.inf, last - margin))
    inside = (bboxes[:, None, :2] >= first) & (bboxes[:, None, 2:] <= last)
    return inside.all(dim=2).any(dim=1)


def focused(
    tta: MultiScaleChipTTA, images: Sequence, samples: Sequence[DetDataSample], every: Sequence[View]
) -> list[Seen]:
    """Look at the coarsest scale of all images, then at each finer one where the one before has seen something small.

    What is too small for a scale's range, it answers for nevertheless where the finer scale does not show it whole.

    Args:
        tta: With settings, whose ``run_views`` looks.
        images: Per image (3, H, W), or its file.
        samples: Per image its data sample, whose metainfo gets ``focus_chips``: per finer scale, coarse to fine, (K, 4)
            xyxy, image frame; and, with ``tta.keep_focus``, ``focus_maps``: of the coarsest
            scale that the next follows from, pairs of a view and its ``focus``.
        every: The views of the whole images at all scales.

    Returns:
        The views, and per view what it says of its image.

    Raises:
        ValueError: If the scales are not from fine to coarse.
    """
    sizes = [image_size(image) for image in images]
    in_order = [_from_fine_to_coarse(tta, sample, size) for sample, size in zip(samples, sizes, strict=True)]
    device = next(tta.module.parameters()).device
    images = [image.to(device, non_blocking=True) if isinstance(image, Tensor) else image for image in images]
    coarsest = len(tta.scales) - 1
    done = tta.run_views(images, samples, [view for view in every if not in_order[view.image_idx]])
    views = [view for view in every if view.scale_idx == coarsest and in_order[view.image_idx]]
    looked: list[dict] = [dict(focus_chips=[], focus_maps=[]) for _ in images]
    for finer in reversed(range(-1, coarsest)):
        found = tta.run_views(images, samples, views, len(done), of_pyramid=False)
        done += found
        views = []
        for n, size in enumerate(sizes if finer >= 0 else ()):
            if not in_order[n]:
                continue
            whole = [view for view in every if view.image_idx == n and view.scale_idx == finer]
            mine = [pair for pair in found if pair[0].image_idx == n]
            zoom = scale_factor(tta.scales[finer], *size)
            settings = tta.focus[finer]
            if settings is not None and tells_shares(tta.module) and settings.min_size <= tta.least:
                # As large as a training chip, in whole image pixels: one more would be a second tile.
                settings = settings._replace(min_size=int(tta.least / zoom + 1e-6) * zoom * (1 - 1e-9))
            if settings is None or _too_far(tta, finer, size):
                chips = np.array([[0, 0, *size]])
            else:
                chips = next_chips(mine, settings, zoom, tta.module.focus_head.stride, size)
                if tta.keep_focus and not looked[n]['focus_maps']:
                    looked[n]['focus_maps'] = [(view, seen.focus.cpu()) for view, seen in mine]
            how = tta.scales[finer], tta.ranges[finer][1], tta.flip, tta.max_canvas, tta.least
            parts = [view for chip in chips.tolist() for view in scale_views(n, size, finer, *how, tuple(chip))]
            if sum(view.cost for view in parts) >= sum(view.cost for view in whole):
                chips, parts = np.array([[0, 0, *size]]), whole
            views += parts
            looked[n]['focus_chips'].append(chips)
            # Both scales see a border a little elsewhere: what may be cut in the finer one is kept in both.
            margin = BORDER / zoom + ASTRAY / scale_factor(tta.scales[finer + 1], *size)
            for _, sample in mine:
                seen = sample.pred_instances
                small = sizes_of(seen.bboxes) < tta.ranges[finer + 1][0]
                sample.pred_instances = seen[~(small & seen_whole(seen.bboxes, chips, margin, size))]
    for sample, meta in zip(samples, looked, strict=True):
        sample.set_metainfo({key: value for key, value in meta.items() if value})
    return done


def _from_fine_to_coarse(tta: MultiScaleChipTTA, sample: DetDataSample, size: tuple[int, int]) -> bool:
    """Whether the scales of an image are in order; not those of one so small that its coarsest, of edges, is finer."""
    zooms = [scale_factor(scale, *size) for scale in tta.scales]
    if zooms == sorted(zooms, reverse=True):
        return True
    told = f'their zooms {[round(zoom, 3) for zoom in zooms]} do not go from fine to coarse'
    # Of an image large enough, edges are coarser than any factor: then scales are in order, or never.
    large = [zoom if isinstance(scale, tuple) else np.inf for zoom, scale in zip(zooms, tta.scales, strict=True)]
    factors = [zoom for zoom, scale in zip(zooms, tta.scales, strict=True) if not isinstance(scale, tuple)]
    if any(pair != sorted(pair, reverse=True) for pair in (large, factors)):
        raise ValueError(
            f'{name_of(sample)}: AutoFocus goes from the last scale to the first, but {told}: order scales so, and '
            'ranges'
        )
    if not tta.said_order:
        tta.said_order = True
        print_log(
            f'tta_cfg.focus: {name_of(sample)}, {size[0]} x {size[1]} px, is looked at whole at all scales, as {told}. '
            'This is said of the first such image only',
            'current',
        )
    return False


def _too_far(tta: MultiScaleChipTTA, finer: int, size: tuple[int, int]) -> bool:
    """Whether a scale shows objects that are nothing in the next coarser one; settings of each scale overrule it."""
    coarser = finer + 1
    step = scale_factor(tta.scales[finer], *size) / scale_factor(tta.scales[coarser], *size)
    if step <= MOST_STEP or not isinstance(tta.given_focus, Mapping):
        return False
    if not tta.said_too_far:
        tta.said_too_far = True
        print_log(
            f'tta_cfg.focus: scale {scale_name(tta.scales[finer])} is looked at whole in images such as {size[0]} x '
            f'{size[1]} px, as {scale_name(tta.scales[coarser])} is {step:.1f} times coarser, and shows what has '
            f'{TINY * step:.0f} px there with {TINY:.0f}; a scale between them, or a list of settings per scale, '
            'changes that',
            'current',
        )
    return True
