"""Draws a suggestion: sizes of the objects in the images and in the network, and the ranges of the scales."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .advice import in_words
from .base import Base
from .fingerprint import object_sizes
from .report import interval
from .score import comfort
from .suggestion import Suggestion

COLOURS = ('#d1495b', '#edae49', '#00798c', '#6a4c93')
GREY = '#8d99ae'
BINS = 40


def draw(base: Base, found: Suggestion, title: str, path: Path) -> None:
    """Write the picture of a suggestion as PNG.

    Args:
        base: The base config.
        found: The suggestion.
        title: On top.
        path: The file.
    """
    with plt.rc_context({'font.size': 10, 'axes.spines.top': False, 'axes.spines.right': False}):
        figure, (before, ranges, after) = plt.subplots(
            3, 1, figsize=(9, 9), height_ratios=[3, 0.6 + 0.5 * len(found.planner.scales), 3], layout='constrained'
        )
        sizes = object_sizes(found.sample)
        draw_before(before, sizes)
        draw_ranges(ranges, found, before.get_xlim())
        draw_after(after, base, found)
        figure.suptitle(title, fontsize=12)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def draw_before(axes: Axes, sizes: NDArray[np.float64]) -> None:
    """Sizes in the images."""
    sizes = np.maximum(sizes, 1)
    edges = np.geomspace(sizes.min() / 1.1, sizes.max() * 1.1, BINS + 1)
    axes.hist(sizes, edges, color=GREY)
    axes.set(xscale='log', xlim=(edges[0], edges[-1]), ylabel='objects', title='In the images')
    plain_ticks(axes)
    axes.set_xlabel('sqrt(width * height), image pixels')


def draw_ranges(axes: Axes, found: Suggestion, limits: tuple[float, float]) -> None:
    """Which scale learns which sizes: filled, and tests them: outlined."""
    n_scales = len(found.planner.scales)
    for n, (scale, trains, tests) in enumerate(
        zip(found.planner.scales, found.planner.valid_ranges.tolist(), found.test_ranges.tolist(), strict=True)
    ):
        left, right = np.clip([max(trains[0], 1e-3), trains[1]], *limits)
        axes.barh(n, right - left, left=left, height=0.55, color=COLOURS[n], alpha=0.8)
        left, right = np.clip([max(tests[0], 1e-3), tests[1]], *limits)
        axes.barh(n, right - left, left=left, height=0.75, fill=False, edgecolor=COLOURS[n], linestyle='--')
        text = f'{in_words(scale)}: trains {interval(trains)}'
        axes.text(limits[0] * 1.05, n, text, va='center', fontsize=9)
    axes.set(
        xscale='log', xlim=limits, ylim=(n_scales - 0.4, -0.6), yticks=[],
        title='Learnt at which scale (filled), tested at (dashed), image pixels',
    )  # fmt: skip
    plain_ticks(axes)


def draw_after(axes: Axes, base: Base, found: Suggestion) -> None:
    """Sizes in the network at one scale for all, and by the plan; how well it sees them; its anchors."""
    planner = found.planner
    seen = found.score.sizes[~np.isnan(found.score.sizes)]
    usual = np.maximum(found.usual.sizes, 1)
    low, high = min(seen.min(initial=8), usual.min()) / 1.2, max(seen.max(initial=64), usual.max()) * 1.2
    edges = np.geomspace(low, high, BINS + 1)
    axes.hist(usual, edges, color=GREY, alpha=0.55, label=f'whole images at {in_words(base.single_scale)}')
    axes.hist(seen, edges, color=COLOURS[2], alpha=0.75, label='chips of the plan, each object at its best')
    # Room for the legend above the bars.
    axes.set(xscale='log', xlim=(low, high), ylim=(0, 1.35 * axes.get_ylim()[1]), ylabel='objects')
    axes.set_title('In the network')
    axes.set_xlabel('sqrt(width * height), network pixels; ticks on top are anchors')
    plain_ticks(axes)
    for anchor in base.anchors[(base.anchors > low) & (base.anchors < high)]:
        axes.axvline(anchor, 0.97, 1, color='black', linewidth=1)
    well = axes.twinx()
    at = np.geomspace(low, high, 200)
    well.plot(at, comfort(at, base.anchors, planner.chip_size), color='black', linewidth=1, label='how well it is seen')
    well.set(ylim=(0, 1.35), yticks=[0, 0.5, 1], ylabel='how well it is seen')
    handles = [part for some in (axes, well) for part in some.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc='upper left', fontsize=9, framealpha=1)


def plain_ticks(axes: Axes) -> None:
    """Pixels as plain numbers on a logarithmic axis."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192) if low <= tick <= high]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
