"""The plan: all chips of all images for one epoch, a pure function of (seed, epoch).

Shapes: I images, T boxes in all, N chips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .planner import ChipPlanner, Chips, ImageSize


class ChipKind(IntEnum):
    """Why a chip is in a plan."""

    POSITIVE = 0  # encloses valid objects
    NEGATIVE = 1  # was full of proposals that no positive chip covers
    RANDOM = 2  # stands for an image that has neither of the above


class ChipKey(NamedTuple):
    """One chip of a plan, as a data set is asked for it. Plain numbers, so that it travels to any worker.

    Attributes:
        image_idx: Index of the image in the data set.
        bbox: The chip, whole pixels of the image frame, xyxy.
        scale_idx: Index into the planner's scales.
        scale: Network pixels per image pixel.
        seed: Seeds whatever augmentation follows.
        kind: A :class:`ChipKind`, as its number.
    """

    image_idx: int
    bbox: tuple[int, int, int, int]
    scale_idx: int
    scale: float
    seed: int
    kind: int


@dataclass(frozen=True)
class BoxTable:
    """The ground truth that chips are planned for, of a whole data set in flat arrays.

    Attributes:
        bboxes: (T, 4) float64, image frame, crowds left out.
        start: (I + 1,) int64; image i owns rows ``start[i]:start[i + 1]``.
        sizes: (I, 2) int64, (width, height) of each image.
    """

    bboxes: NDArray[np.float64]
    start: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def build(cls, images: Iterable[tuple[ArrayLike, ImageSize]]) -> BoxTable:
        """From (boxes (M, 4), (width, height)) per image."""
        boxes, sizes = [np.zeros((0, 4))], []
        for bboxes, size in images:
            boxes.append(np.asarray(bboxes, np.float64).reshape(-1, 4))
            sizes.append(size)
        start = np.cumsum([len(b) for b in boxes])
        return cls(np.concatenate(boxes), start, np.array(sizes, np.int64).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.sizes)

    def image(self, idx: int) -> tuple[NDArray[np.float64], ImageSize]:
        """Boxes (M, 4) and (width, height) of one image."""
        width, height = self.sizes[idx].tolist()
        return self.bboxes[self.start[idx] : self.start[idx + 1]], (width, height)


@dataclass(frozen=True)
class ChipPlan:
    """Chips of a data set for one epoch, image by image.

    Attributes:
        image_idx: (N,) int64, non-decreasing.
        chips: The N chips.
        seeds: (N,) int64, one per chip for what follows the cut.
        kind: (N,) uint8, a :class:`ChipKind` each.
    """

    image_idx: NDArray[np.int64]
    chips: Chips
    seeds: NDArray[np.int64]
    kind: NDArray[np.uint8]

    @classmethod
    def draw(
        cls,
        planner: ChipPlanner,
        table: BoxTable,
        seed: int,
        epoch: int,
        empty_chips: int,
        negatives: Sequence[Chips] | None = None,
        negatives_per_image: int = 0,
    ) -> ChipPlan:
        """Plan one epoch: per image its positive chips, then some of its negative ones; random ones if it has neither.

        Args:
            planner: Plans each image.
            table: The data set's boxes.
            seed: Seed of the run.
            epoch: Number of the epoch, from 0.
            empty_chips: Random chips per image that has no other.
            negatives: Per image of the table its pool of negative chips.
            negatives_per_image: How many of these to draw, without replacement; all of a smaller pool.
        """
        rngs = np.random.default_rng((seed, epoch))
        parts: list[tuple[int, Chips, ChipKind]] = []
        for i in range(len(table)):
            bboxes, size = table.image(i)
            chips = planner.positive(bboxes, size, rngs)
            pool = None if negatives is None else negatives[i]
            parts.append((i, chips, ChipKind.POSITIVE))
            if pool is not None and len(pool):
                drawn = rngs.permutation(len(pool))[:negatives_per_image]
                parts.append((i, pool.take(drawn), ChipKind.NEGATIVE))
            elif not len(chips):
                parts.append((i, planner.random(size, empty_chips, rngs), ChipKind.RANDOM))
        images, chosen, kinds = zip(*parts, strict=True)
        counts = [len(chips) for chips in chosen]
        image_idx = np.repeat(np.array(images, np.int64), counts)
        seeds = rngs.integers(2**32, size=len(image_idx))
        return cls(image_idx, _concatenate(chosen), seeds, np.repeat(np.array(kinds, np.uint8), counts))

    def __len__(self) -> int:
        return len(self.image_idx)

    def key(self, n: int) -> ChipKey:
        """Chip n of the plan as a :class:`ChipKey`."""
        x1, y1, x2, y2 = (int(v) for v in self.chips.bboxes[n])
        scale_idx, scale = int(self.chips.scale_idx[n]), float(self.chips.scale[n])
        seed, kind = int(self.seeds[n]), int(self.kind[n])
        return ChipKey(int(self.image_idx[n]), (x1, y1, x2, y2), scale_idx, scale, seed, kind)


def _concatenate(parts: Sequence[Chips]) -> Chips:
    return Chips(
        np.concatenate([chips.bboxes for chips in parts]),
        np.concatenate([chips.scale_idx for chips in parts]),
        np.concatenate([chips.scale for chips in parts]),
    )
