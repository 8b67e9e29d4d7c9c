"""Refuses chip sizes that the network, the planner or the pipeline cannot have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from mmdet.datasets import MultiImageMixDataset
from numpy.typing import NDArray

from ..chips import ChipPlanner, PyramidPlanner
from .plan_sampler import ChipPlanSampler
from .size_mix import apportion


def check_sizes(sampler: ChipPlanSampler, sizes: Sequence[int], keep: str, divisor: int) -> None:
    """Refuse what could not be trained on.

    Args:
        sampler: Of the chips.
        sizes: Sides in network pixels.
        keep: 'view' or 'zoom'.
        divisor: Of what the network's data preprocessor pads to.

    Raises:
        TypeError: If samples are no chips, or a transform that mixes them wants one size.
        ValueError: If a size is no multiple of the divisor, or no range of the planner fits it; with one that would do.
    """
    planner, wrapper = sampler.dataset.planner, sampler.wrapper
    if isinstance(planner, PyramidPlanner):
        raise TypeError('PyramidPlanner shows whole images, which are as large as they are: mix sizes of ChipPlanner')
    if not sampler.shuffle:
        raise ValueError('sizes are drawn at random: leave ChipPlanSampler(shuffle=True)')
    for transform in wrapper.pipeline if isinstance(wrapper, MultiImageMixDataset) else ():
        mix = getattr(transform, 'mix', transform)
        if len(sizes) > 1 and (hasattr(mix, 'img_scale') or hasattr(mix, 'dynamic_scale')):
            raise TypeError(f'{type(mix).__name__} makes images of one size, here are {len(sizes)}: leave it out')
    for size in sizes:
        if size % divisor:
            near = max(round(size / divisor), 1) * divisor
            raise ValueError(
                f'sizes: {size} is no multiple of {divisor} (pad_size_divisor), so its batches would be padded: '
                f'write {near}'
            )
        if keep == 'view' and (why := misfit(planner, size, size / planner.chip_size)):
            raise ValueError(f'sizes: {size} cannot show what chips of {planner.chip_size} px do: {why}')
        if keep == 'zoom' and (why := misfit(planner, size)):
            fit = next(larger for larger in count(size + divisor, divisor) if not misfit(planner, larger))
            raise ValueError(f"sizes: {size} is too small for keep='zoom', write {fit} or more: {why}")


def misfit(planner: ChipPlanner, size: int, zoom: float = 1.0) -> str:
    """Why chips of a size cannot be planned for at a planner's scales, zoomed; '' if they can."""
    try:
        planner.resized(size, zoom)
    except ValueError as error:
        return str(error)
    return ''


def check_shares(sizes: Sequence[int], shares: NDArray[np.float64], n_steps: int) -> None:
    """Refuse a size that never comes.

    Args:
        sizes: (S,)
        shares: (K, S) of the steps, in each of several distributions.
        n_steps: Of an epoch.

    Raises:
        ValueError: If there is one; with a share that would do.
    """
    for of_stage in shares:
        none = (of_stage > 0) & (apportion(n_steps, of_stage) == 0)
        for size, share in zip(np.array(sizes)[none], of_stage[none], strict=True):
            raise ValueError(
                f"sizes: a share of {share:g} is none of an epoch's {n_steps} steps for {size} px: write at least "
                f'{np.ceil(100 / n_steps) / 100:g}, or leave it out'
            )
