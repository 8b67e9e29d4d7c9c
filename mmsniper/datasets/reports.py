"""What a data set says of itself, and how far it has come."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from logging import WARNING
from typing import TypeVar

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from tqdm import tqdm

from ..chips import BoxTable, ChipKind, ChipPlan, ChipPlanner

T = TypeVar('T')


class _Bar(tqdm):
    monitor_interval = 0  # or it would start a thread, for good


def progress(items: Iterable[T], what: str) -> Iterable[T]:
    """The items, with a bar on the terminal once they have taken two seconds.

    Args:
        items: What is gone through.
        what: Stands before the bar.
    """
    if not is_main_process() or not sys.stderr.isatty():
        return items
    total = len(items) if isinstance(items, Sized) else None
    return _Bar(items, what, total, delay=2, mininterval=1, leave=False)


def report_plan(plan: ChipPlan, planner: ChipPlanner, table: BoxTable, n_regions: int, negatives: bool) -> None:
    """Say what will be learnt from, and what is left out.

    Args:
        plan: Of an epoch.
        planner: Made it.
        table: The data set's boxes.
        n_regions: How many ignored regions it has besides.
        negatives: Whether there is a pool of negative chips.
    """
    n_images, n_negative = len(table), int((plan.kind == ChipKind.NEGATIVE).sum())
    per_scale = np.bincount(plan.chips.scale_idx, minlength=len(planner.scales)) / n_images
    print_log(
        f'ChipDataset: {n_images} images ({int((np.diff(table.start) == 0).sum())} without objects), '
        f'{len(table.bboxes)} objects, {n_regions} ignored regions; {len(plan) / n_images:.2f} chips per image and '
        'epoch, by scale '
        + ' + '.join(f'{n:.2f}' for n in per_scale)
        + (f', {n_negative / n_images:.2f} of them negative' if negatives else ''),
        logger='current',
    )
    unusable, unreachable = table.count_unlearnt(planner)
    if unusable:
        print_log(f'ChipDataset: {unusable} objects have a side under 2 px; no chip is planned for them', 'current')
    if unreachable:
        print_log(
            f'ChipDataset: {unreachable} objects are larger than a chip at every scale and are only seen in parts; '
            f'add a coarser scale such as ({planner.chip_size}, {planner.chip_size})',
            logger='current',
            level=WARNING,
        )
