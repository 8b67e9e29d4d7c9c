"""The plan: all chips of all images for one epoch, a pure function of (seed, epoch).

Shapes: I images, T boxes in all, N chips.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .planner import ChipPlanner, Chips, ImageSize
from .scales import MIN_USABLE_SIDE

NO_CHIPS = Chips(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0))


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
        step: When the chip is shown, counted through all epochs.
        keep_until: The last step for which who cuts the chip will need the same image again, if that is later.
        elsewhere: Objects that are taught in another chip, by their number among the image's that are no crowds.
        chip_size: Side of the sample in network pixels, if it is not the planner's.
        zoom: Of the planner's scales, where the sample shows the window of a chip of another size.
    """

    image_idx: int
    bbox: tuple[int, int, int, int]
    scale_idx: int
    scale: float
    seed: int
    kind: int
    step: int = 0
    keep_until: int = -1
    elsewhere: tuple[int, ...] = ()
    chip_size: int | None = None
    zoom: float = 1.0

    def again(self, *numbers: int) -> ChipKey:
        """The same chip with other augmentations, which follow from its seed and some numbers; all 0 = as it is."""
        if not any(numbers):
            return self
        return self._replace(seed=int(np.random.SeedSequence((self.seed, *numbers)).generate_state(1)[0]))

    def sized(self, chip_size: int, planned: int) -> ChipKey:
        """The same window in another number of network pixels.

        Args:
            chip_size: Side of the sample in network pixels.
            planned: Side of the chips that the window was planned for.
        """
        if chip_size == planned:
            return self
        zoom = chip_size / planned
        return self._replace(scale=self.scale * zoom, chip_size=chip_size, zoom=zoom)


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
        # Arrays that grow: of millions of images a list of arrays would take a multiple of what they hold.
        numbers, counts, sizes = array('d'), array('q', [0]), array('q')
        for bboxes, size in images:
            boxes = np.asarray(bboxes, np.float64).reshape(-1, 4)
            numbers.frombytes(boxes.tobytes())
            counts.append(len(boxes))
            sizes.extend(size)
        return cls(np.array(numbers).reshape(-1, 4), np.cumsum(counts), np.array(sizes).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.sizes)

    def inside(self) -> NDArray[np.float64]:
        """The part of each box inside its image, (T, 4)."""
        limits = np.repeat(self.sizes, np.diff(self.start), axis=0)
        return np.clip(self.bboxes, 0, np.tile(limits, 2))

    def count_unlearnt(self, planner: ChipPlanner) -> tuple[int, int]:
        """How many boxes have a side under 2 px, and how many others no chip holds."""
        boxes = self.inside()
        usable = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_USABLE_SIDE
        hull = (np.ceil(boxes[:, 2:]) - np.floor(boxes[:, :2])).max(axis=1, initial=0)
        largest = np.repeat(planner.windows_of_images(self.sizes)[1].max(axis=1), np.diff(self.start))
        return int((~usable).sum()), int((usable & (hull > largest)).sum())

    def image(self, idx: int) -> tuple[NDArray[np.float64], ImageSize]:
        """Boxes (M, 4) and (width, height) of one image."""
        width, height = self.sizes[idx].tolist()
        return self.bboxes[self.start[idx] : self.start[idx + 1]], (width, height)


@dataclass(frozen=True)
class ChipTable:
    """Chips that a whole data set has to choose from.

    Attributes:
        start: (I + 1,) int64; image i owns chips ``start[i]:start[i + 1]``.
        chips: All of them, image by image.
    """

    start: NDArray[np.int64]
    chips: Chips

    @classmethod
    def build(cls, images: Sequence[Chips]) -> ChipTable:
        """From the chips of each image."""
        return cls(np.cumsum([0, *map(len, images)]), _concatenate([NO_CHIPS, *images]))

    def draw(self, most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Chips]:
        """Up to `most` chips of each image, at random and without replacement: (K,) the images, and K chips."""
        counts = np.diff(self.start)
        image = np.repeat(np.arange(len(counts)), counts)
        shuffled = np.lexsort((rng.random(len(image)), image))
        drawn = shuffled[np.arange(len(image)) - self.start[image] < most]
        return image[drawn], self.chips.take(drawn)

    def refitted(self, planner: ChipPlanner, sizes: NDArray[np.int64]) -> ChipTable:
        """Chips around the same middles, as large as another planner's.

        Args:
            planner: Has the same scales.
            sizes: (I, 2), (width, height) of each image.
        """
        image_sizes = np.repeat(sizes, np.diff(self.start), axis=0)
        sides = planner.windows_of_images(image_sizes)[1][np.arange(len(image_sizes)), self.chips.scale_idx]
        extent = np.minimum(sides[:, None], image_sizes)
        middle = self.chips.bboxes.reshape(-1, 2, 2).mean(axis=1)
        origin = np.clip(np.rint(middle - extent / 2), 0, image_sizes - extent)
        bboxes = np.concatenate([origin, origin + extent], axis=1).astype(np.float32)
        return ChipTable(self.start, Chips(bboxes, self.chips.scale_idx, planner.chip_size / sides))


@dataclass(frozen=True)
class ChipPlan:
    """Chips of a data set for one epoch, image by image.

    Attributes:
        image_idx: (N,) int64, non-decreasing.
        chips: The N chips.
        seeds: (N,) int64, one per chip for what follows the cut.
        kind: (N,) uint8, a :class:`ChipKind` each.
        elsewhere: Per chip objects that are taught in another one, see
            :func:`~mmsniper.chips.labels.assign_best_chips`: (N + 1,) where they start, and their numbers among the
            image's boxes; None = every chip teaches what it shows.
        chip_size: (N,) int64, sides of the samples in network pixels; None = the planner's.
    """

    image_idx: NDArray[np.int64]
    chips: Chips
    seeds: NDArray[np.int64]
    kind: NDArray[np.uint8]
    elsewhere: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    chip_size: NDArray[np.int64] | None = None

    @classmethod
    def join(cls, plans: Mapping[int, ChipPlan]) -> ChipPlan:
        """One plan of several, by the sides of their chips; image by image within each."""
        parts = list(plans.values())
        elsewhere = None
        if parts[0].elsewhere is not None:
            starts, numbers = zip(*(part.elsewhere for part in parts if part.elsewhere), strict=True)
            elsewhere = np.cumsum([0, *np.concatenate(list(map(np.diff, starts)))]), np.concatenate(numbers)
        return cls(
            np.concatenate([part.image_idx for part in parts]),
            _concatenate([part.chips for part in parts]),
            np.concatenate([part.seeds for part in parts]),
            np.concatenate([part.kind for part in parts]),
            elsewhere,
            np.repeat(np.array(list(plans), np.int64), [len(part) for part in parts]),
        )

    @classmethod
    def draw(
        cls,
        planner: ChipPlanner,
        table: BoxTable,
        seed: int,
        epoch: int,
        empty_chips: int,
        negatives: ChipTable | None = None,
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
        rng = np.random.default_rng((seed, epoch))
        images = np.arange(len(table))
        n_positive, positive = planner.positive_of_images(
            table.bboxes, table.start, table.sizes, int(rng.integers(np.iinfo(np.int64).max))
        )
        pool = negatives or ChipTable(np.zeros(len(table) + 1, np.int64), NO_CHIPS)
        of_image, negative = pool.draw(negatives_per_image, rng)
        bare = images[(n_positive == 0) & (np.diff(pool.start) == 0)]
        anywhere = planner.random_of_images(table.sizes[bare], empty_chips, rng)
        image_idx = np.concatenate([np.repeat(images, n_positive), of_image, np.repeat(bare, empty_chips)])
        parts = [positive, negative, anywhere]
        kinds = np.array([ChipKind.POSITIVE, ChipKind.NEGATIVE, ChipKind.RANDOM], np.uint8)
        kind = np.repeat(kinds, [len(part) for part in parts])
        order = np.argsort(image_idx, kind='stable')
        seeds = rng.integers(2**32, size=len(order))
        return cls(image_idx[order], _concatenate(parts).take(order), seeds, kind[order])

    def __len__(self) -> int:
        return len(self.image_idx)

    def key(self, n: int, step: int = 0, keep_until: int = -1) -> ChipKey:
        """Chip n of the plan as a :class:`ChipKey`, to be shown in a step."""
        n = range(len(self))[n]  # from the end, too, as arrays count
        x1, y1, x2, y2 = (int(v) for v in self.chips.bboxes[n])
        scale_idx, scale = int(self.chips.scale_idx[n]), float(self.chips.scale[n])
        seed, kind = int(self.seeds[n]), int(self.kind[n])
        elsewhere: tuple[int, ...] = ()
        if self.elsewhere is not None:
            start, numbers = self.elsewhere
            elsewhere = tuple(numbers[start[n] : start[n + 1]].tolist())
        image_idx, bbox = int(self.image_idx[n]), (x1, y1, x2, y2)
        chip_size = None if self.chip_size is None else int(self.chip_size[n])
        return ChipKey(image_idx, bbox, scale_idx, scale, seed, kind, step, keep_until, elsewhere, chip_size)


def _concatenate(parts: Sequence[Chips]) -> Chips:
    return Chips(
        np.concatenate([chips.bboxes for chips in parts]),
        np.concatenate([chips.scale_idx for chips in parts]),
        np.concatenate([chips.scale for chips in parts]),
    )
