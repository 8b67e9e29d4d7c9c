"""What each object is good for in each chip of a plan, without an image being read: for statistics of whole data sets.

Shapes: I images, T boxes, S scales, N chips, P pairs of a chip and an object that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .plan import BoxTable, ChipPlan
from .planner import ChipPlanner
from .scales import assign_scales
from .selection import clipped

VALID = 0  # teaches every head
IGNORED = 1  # crowd or sliver: its surroundings are nobody's background
INVALID = 2  # an object seen at the wrong scale: labels RoIs, makes no positive anchor


@dataclass(frozen=True)
class PlanLabels:
    """The labels that the chips of a plan will have, chip by chip.

    Attributes:
        chip: (P,) int64, row of the plan.
        box: (P,) int64, row of the table.
        label: (P,) uint8: ``VALID``, ``IGNORED`` or ``INVALID``, as :class:`~mmsniper.datasets.ChipSampler` gives them.
        visible: (P,) float64, share of the object's area inside the chip, (0, 1].
        size: (P,) float64, sqrt(area) of the whole object in network pixels of the chip.
        times_valid: (T,) int64, in how many chips each object of the table is valid.
    """

    chip: NDArray[np.int64]
    box: NDArray[np.int64]
    label: NDArray[np.uint8]
    visible: NDArray[np.float64]
    size: NDArray[np.float64]
    times_valid: NDArray[np.int64]

    @classmethod
    def of_plan(
        cls, planner: ChipPlanner, table: BoxTable, plan: ChipPlan, min_visible: float = 0.5, min_side: float = 4
    ) -> PlanLabels:
        """Label a plan's chips.

        Args:
            planner: Made the plan.
            table: The boxes it was made for. Crowds are not among them, so no pair tells of them.
            plan: N chips.
            min_visible: As for :class:`~mmsniper.datasets.ChipSampler`.
            min_side: As for :class:`~mmsniper.datasets.ChipSampler`.
        """
        factors, sides = planner.windows_of_images(table.sizes)
        stop = np.searchsorted(plan.image_idx, np.arange(len(table) + 1))
        chips = plan.chips.bboxes.astype(np.float64), plan.chips.scale_idx, plan.chips.scale
        elsewhere = plan.elsewhere or (np.zeros(len(plan) + 1, np.int64), np.zeros(0, np.int64))
        chip, box, label, visible, size = _label(
            table.bboxes, table.start, table.sizes, stop, *chips, planner.valid_ranges, factors, sides,
            planner.chip_size, min_visible, min_side, *elsewhere,
        )  # fmt: skip
        return cls(chip, box, label, visible, size, np.bincount(box[label == VALID], minlength=len(table.bboxes)))


def assign_best_chips(
    planner: ChipPlanner, table: BoxTable, plan: ChipPlan, min_visible: float = 0.5, min_side: float = 4
) -> ChipPlan:
    """A plan in which each object is taught by one chip per scale: the one that shows most of it, the first of equals.

    That is the authors' rule; without it every chip teaches what it shows enough of.

    Args:
        planner: Made the plan.
        table: The boxes it was made for.
        plan: N chips.
        min_visible: As for :class:`~mmsniper.datasets.ChipSampler`.
        min_side: As for :class:`~mmsniper.datasets.ChipSampler`.
    """
    labels = PlanLabels.of_plan(planner, table, plan, min_visible, min_side)
    valid = np.flatnonzero(labels.label == VALID)
    chip, box = labels.chip[valid], labels.box[valid]
    group = box * len(planner.scales) + plan.chips.scale_idx[chip]
    order = np.lexsort((chip, -labels.visible[valid], group))
    repeated = np.r_[False, np.diff(group[order]) == 0]
    left = np.sort(order[repeated])
    start = np.searchsorted(chip[left], np.arange(len(plan) + 1))
    return replace(plan, elsewhere=(start, box[left] - table.start[plan.image_idx[chip[left]]]))


@compiled
def _label(
    bboxes: NDArray,
    start: NDArray,
    sizes: NDArray,
    chip_start: NDArray,
    chips: NDArray,
    scale_idx: NDArray,
    scale: NDArray,
    ranges: NDArray,
    factors: NDArray,
    sides: NDArray,
    chip_size: int,
    min_visible: float,
    min_side: float,
    elsewhere_start: NDArray,
    elsewhere: NDArray,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """The first five arrays of :class:`PlanLabels`.

    Args:
        bboxes: (T, 4) float64, image frame.
        start: (I + 1,); image i owns boxes ``start[i]:start[i + 1]``.
        sizes: (I, 2), (width, height) of each image.
        chip_start: (I + 1,); image i owns chips ``chip_start[i]:chip_start[i + 1]``.
        chips: (N, 4) float64, image frame.
        scale_idx: (N,)
        scale: (N,) network pixels per image pixel.
        ranges: (S, 2) valid ranges.
        factors: (I, S) scale factors.
        sides: (I, S) sides of chips in image pixels.
        chip_size: Side of a chip in network pixels.
        min_visible: Least share of a valid object's area inside the chip.
        min_side: Least side of an invalid object's part inside, in network pixels.
        elsewhere_start: (N + 1,); chip n leaves ``elsewhere[elsewhere_start[n]:elsewhere_start[n + 1]]`` to others.
        elsewhere: Numbers among the image's boxes, ascending per chip.
    """
    room = 1024
    chip, box, label = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.uint8)
    visible, size = np.empty(room), np.empty(room)
    found = 0
    for i in range(len(sizes)):
        boxes = clipped(bboxes[start[i] : start[i + 1]], sizes[i, 0], sizes[i, 1])
        in_range = assign_scales(boxes, ranges, factors[i], sides[i])[0]
        for n in range(chip_start[i], chip_start[i + 1]):
            extent_w = min(max(np.rint((chips[n, 2] - chips[n, 0]) * scale[n]), 1), chip_size)
            extent_h = min(max(np.rint((chips[n, 3] - chips[n, 1]) * scale[n]), 1), chip_size)
            zoom_x = extent_w / (chips[n, 2] - chips[n, 0])
            zoom_y = extent_h / (chips[n, 3] - chips[n, 1])
            left = elsewhere_start[n]
            for m in range(len(boxes)):
                inside_w = min(boxes[m, 2], chips[n, 2]) - max(boxes[m, 0], chips[n, 0])
                inside_h = min(boxes[m, 3], chips[n, 3]) - max(boxes[m, 1], chips[n, 1])
                if inside_w <= 0 or inside_h <= 0:
                    continue
                if found == room:
                    room *= 2
                    chip, box, label = grown(chip, found, room), grown(box, found, room), grown(label, found, room)
                    visible, size = grown(visible, found, room), grown(size, found, room)
                area = (boxes[m, 2] - boxes[m, 0]) * (boxes[m, 3] - boxes[m, 1])
                chip[found], box[found] = n, start[i] + m
                visible[found], size[found] = inside_w * inside_h / area, np.sqrt(area) * scale[n]
                taught_here = left == elsewhere_start[n + 1] or elsewhere[left] != m
                left += not taught_here
                if taught_here and in_range[scale_idx[n], m] and visible[found] >= min_visible:
                    label[found] = VALID
                else:
                    label[found] = IGNORED if min(inside_w * zoom_x, inside_h * zoom_y) < min_side else INVALID
                found += 1
    return chip[:found].copy(), box[:found].copy(), label[:found].copy(), visible[:found].copy(), size[:found].copy()


@compiled
def grown(array: NDArray, used: int, room: int) -> NDArray:
    """A copy of an array's first `used` rows with room for more."""
    larger = np.empty(room, array.dtype)
    larger[:used] = array[:used]
    return larger
