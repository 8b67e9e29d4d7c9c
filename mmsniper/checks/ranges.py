"""Scales and valid ranges against the objects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..chips import VALID, BoxTable, ChipPlanner, PlanLabels
from ..config_lines import written_ranges, written_scales
from .findings import NOTE, WARNING, Finding
from .planned_run import PlannedRun

# Of more objects than this share it is said that the network sees them too small or too large.
MANY = 0.2
# Network pixels under which there is little to be seen, and the share of a chip's side above which little is around.
TINY, HUGE = 12, 0.8
SUGGEST = 'mmsniper suggest ANNOTATIONS.json  # plans scales and ranges for your data'


def check_ranges(run: PlannedRun) -> Iterator[Finding]:
    """Small objects are shown large, large ones small; each is taught somewhere, at a size that shows it."""
    chips = run.chips
    if chips is None:
        if run.data is not None:
            yield Finding(NOTE, 'ranges', 'does not apply: the data are whole images', 'Only chips have ranges.')
        return
    yield from check_order(chips.planner, chips.table)
    sampler = chips.pipeline.sampler
    if sampler is not None:
        plan = chips.current_plan
        labels = PlanLabels.of_plan(chips.planner, chips.table, plan, sampler.min_visible, sampler.min_side)
        yield from check_labels(chips.planner, chips.table, labels, plan.chips.scale_idx)


def check_order(planner: ChipPlanner, table: BoxTable) -> Iterator[Finding]:
    """The finer a scale, the smaller the objects that it teaches."""
    factors = np.median(planner.windows_of_images(table.sizes)[0], axis=0)
    ranges = planner.valid_ranges
    for fine, coarse in np.argwhere(factors[:, None] > factors[None] * 1.05):
        if (ranges[fine] >= ranges[coarse]).all() and (ranges[fine] > ranges[coarse]).any():
            scales = written_scales(planner.scales[n] for n in np.argsort(-factors, kind='stable'))
            pairs = written_ranges(sorted(ranges.tolist()))
            yield Finding(
                WARNING,
                'ranges',
                f'scales stand in the wrong order for the ranges: objects of {_range(ranges[coarse])} px are shown at '
                f'zoom {factors[coarse]:.2g}, those of {_range(ranges[fine])} px at {factors[fine]:.2g}',
                'Small objects are to be enlarged, large ones reduced; this does the opposite, and costs more.',
                f'train_dataloader = dict(dataset=dict(planner=dict(scales={scales}, valid_ranges={pairs})))',
            )
            return


def check_labels(planner: ChipPlanner, table: BoxTable, labels: PlanLabels, scale_idx: np.ndarray) -> Iterator[Finding]:
    """What an epoch teaches of each object.

    Args:
        planner: Made the plan.
        table: The objects, T.
        labels: Of the plan.
        scale_idx: (N,), of the plan's chips.
    """
    n_objects, times = len(table.bboxes), labels.times_valid
    never, once, more = (float(part.mean()) for part in (times == 0, times == 1, times >= 2))
    unusable, unreachable = table.count_unlearnt(planner)
    yield Finding(
        NOTE,
        'ranges',
        f'of {n_objects} objects {never:.1%} are valid in no chip of the first epoch, {once:.1%} in one, {more:.1%} in '
        'two or more',
        'A valid object teaches every head.',
    )
    if lost := int((times == 0).sum()) - unusable:
        larger = f', {unreachable} of them larger than a chip at every scale' if unreachable else ''
        yield Finding(
            WARNING,
            'ranges',
            f'{lost} of {n_objects} objects are valid in no chip{larger}',
            'They are never taught.',
            f'a coarser scale, such as ({planner.chip_size}, {planner.chip_size}), with a range up to None',
        )
    valid = labels.label == VALID
    taught = np.bincount(scale_idx[labels.chip[valid]], minlength=len(planner.scales))
    for n in np.flatnonzero(taught == 0):
        yield Finding(
            WARNING,
            'ranges',
            f'no object is taught at scale {planner.scales[n]} with the range {_range(planner.valid_ranges[n])}',
            'The scale has no use for these data, or it is meant for others.',
            SUGGEST,
        )
    largest, smallest = np.zeros(n_objects), np.full(n_objects, np.inf)
    np.maximum.at(largest, labels.box[valid], labels.size[valid])
    np.minimum.at(smallest, labels.box[valid], labels.size[valid])
    tiny = float((largest[times > 0] < TINY).mean()) if (times > 0).any() else 0.0
    huge = float((smallest[times > 0] > HUGE * planner.chip_size).mean()) if (times > 0).any() else 0.0
    if tiny > MANY:
        yield Finding(
            WARNING,
            'ranges',
            f'{tiny:.0%} of the objects are never shown larger than {TINY} px, as sqrt(width * height)',
            'There is little to be seen of them, and anchors start at some 32 px: a finer scale for the smallest.',
            SUGGEST,
        )
    if huge > MANY:
        yield Finding(
            WARNING,
            'ranges',
            f'{huge:.0%} of the objects are never shown smaller than {HUGE:.0%} of the chip',
            'Nothing is around them by which a box could be told: a coarser scale for the largest.',
            SUGGEST,
        )


def _range(limits: np.ndarray) -> str:
    return f'[{limits[0]:g}, {limits[1]:g})'
