"""ChipPlanner: the chips of one image (SNIPER, sec. 3.2 and 3.3).

Shapes: S scales, M boxes, P proposals, N chips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cover import ROW_MAJOR
from .geometry import as_boxes, clip_boxes
from .scales import NUMBER, Scale, assign_scales, check_scales, check_valid_ranges, chip_sides, scale_factor
from .selection import negative_chips, positive_chips, positive_chips_of_images, uncovered_proposals

ImageSize = tuple[int, int]


@dataclass(frozen=True)
class Chips:
    """Chips of one image.

    Attributes:
        bboxes: (N, 4) float32, image frame; whole numbers inside the image.
        scale_idx: (N,) int64, index into the planner's scales.
        scale: (N,) float64, network pixels per image pixel (see :func:`~mmsniper.chips.scales.chip_sides`).
    """

    bboxes: NDArray[np.float32]
    scale_idx: NDArray[np.int64]
    scale: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.bboxes)

    def take(self, rows: NDArray[np.integer]) -> Chips:
        """Some of the chips, by (K,) row numbers."""
        return Chips(self.bboxes[rows], self.scale_idx[rows], self.scale[rows])


class ChipPlanner:
    """Chooses the chips of an image so that every object is seen whole, at a scale where its size is comfortable.

    Args:
        scales: Levels of the pyramid: a zoom factor, or (long edge, short edge) as in mmdet's ``Resize``.
        valid_ranges: Per scale (lo, hi) on sqrt(width * height) of a box in image pixels, half-open; None = open end.
        chip_size: Side of a chip in network pixels.
        stride: Stride of the window grid in network pixels.

    Raises:
        ValueError: If an argument is malformed, ranges and scales do not pair up or leave a gap, or the stride exceeds
            the chip size.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        valid_ranges: Sequence[Sequence[float | None]],
        chip_size: int = 512,
        stride: float = 32,
    ) -> None:
        if isinstance(chip_size, bool) or not isinstance(chip_size, (int, np.integer)) or chip_size < 1:
            raise ValueError(f'chip_size must be a positive whole number of network pixels; got {chip_size!r}')
        if isinstance(stride, bool) or not isinstance(stride, NUMBER) or not 0 < stride <= chip_size:
            raise ValueError(f'stride must be in (0, chip_size={chip_size}], or windows leave gaps; got {stride!r}')
        self.chip_size = int(chip_size)
        self.stride = float(stride)
        self.scales = check_scales(scales)
        self.valid_ranges = check_valid_ranges(valid_ranges, self.scales, self.chip_size)

    def __repr__(self) -> str:
        ranges = [tuple(pair) for pair in self.valid_ranges.tolist()]
        return (
            f'ChipPlanner(scales={list(self.scales)}, valid_ranges={ranges}, chip_size={self.chip_size}, '
            f'stride={self.stride:g})'
        )

    def positive(self, gt_bboxes: ArrayLike, image_size: ImageSize, rng: np.random.Generator | None = None) -> Chips:
        """Chips that enclose every usable box at each scale it is planned for (sec. 3.2).

        Args:
            gt_bboxes: (M, 4) xyxy, image frame, without crowds. Boxes with a side under 2 px inside the image are
                passed over.
            image_size: (width, height) of the image.
            rng: Shifts the window grid and breaks ties at random. Without it the same boxes give the same chips.

        Returns:
            The chips, scale by scale, in the order of choice.

        Raises:
            ValueError: If a box is malformed or the image has no pixels.
        """
        width, height = check_image_size(image_size)
        factors, sides = self.windows(image_size)
        recipe = factors, sides, self.valid_ranges, self.stride
        bboxes, scale_idx = positive_chips(as_boxes(gt_bboxes), width, height, *recipe, _seed(rng))
        return Chips(bboxes, scale_idx, self.chip_size / sides[scale_idx])

    def negative(
        self,
        proposals: ArrayLike,
        image_size: ImageSize,
        positives: Chips,
        min_proposals: int | Sequence[int],
        rng: np.random.Generator | None = None,
    ) -> Chips:
        """Chips full of proposals that no positive chip covers: hard background, mostly (sec. 3.3).

        At each scale the proposals count that :meth:`uncovered` names.

        Args:
            proposals: (P, 4) xyxy, image frame: what a briefly trained RPN takes for objects.
            image_size: (width, height) of the image.
            positives: The image's positive chips.
            min_proposals: Least number of proposals that a chip must newly cover, one for all scales or one per scale.
                The authors' code: 26 at the finest scale, 11 at the others.
            rng: Shifts the window grid and breaks ties at random. Without it the same boxes give the same chips.

        Returns:
            The chips, scale by scale, in the order of choice: fullest first.

        Raises:
            ValueError: If a box or ``min_proposals`` is malformed or the image has no pixels.
        """
        width, height = check_image_size(image_size)
        least = check_min_proposals(min_proposals, len(self.scales))
        chips = as_boxes(positives.bboxes), positives.scale_idx
        factors, sides = self.windows(image_size)
        recipe = factors, sides, self.valid_ranges, self.stride
        bboxes, scale_idx = negative_chips(as_boxes(proposals), *chips, least, width, height, *recipe, _seed(rng))
        return Chips(bboxes, scale_idx, self.chip_size / sides[scale_idx])

    def uncovered(self, proposals: ArrayLike, image_size: ImageSize, positives: Chips) -> NDArray[np.bool_]:
        """Which proposals count at which scale for negative chips: (S, P) bool (sec. 3.3).

        Those with a size in the scale's valid range, sides of at least 2 px and a chip that holds them, unless half of
        their area or more lies in one positive chip of that scale.

        Args:
            proposals: (P, 4) xyxy, image frame.
            image_size: (width, height) of the image.
            positives: The image's positive chips.

        Raises:
            ValueError: If a box is malformed or the image has no pixels.
        """
        boxes = clip_boxes(as_boxes(proposals), (0, 0, *check_image_size(image_size)))
        chips = as_boxes(positives.bboxes), positives.scale_idx
        return uncovered_proposals(boxes, *chips, self.valid_ranges, self.windows(image_size)[1])

    def random(self, image_size: ImageSize, n_chips: int, rng: np.random.Generator) -> Chips:
        """Chips at random places of random scales, for images without ground truth.

        Args:
            image_size: (width, height) of the image.
            n_chips: How many.
            rng: Source of randomness.

        Raises:
            ValueError: If the image has no pixels.
        """
        return self.random_of_images(np.array([check_image_size(image_size)]), n_chips, rng)

    def random_of_images(self, sizes: NDArray[np.int64], n_chips: int, rng: np.random.Generator) -> Chips:
        """:meth:`random` of many images, (I, 2): `n_chips` of each, image by image."""
        sizes = np.repeat(sizes, n_chips, axis=0)
        sides = self.windows_of_images(sizes)[1]
        scale_idx = rng.integers(len(self.scales), size=len(sizes))
        side = sides[np.arange(len(sides)), scale_idx]
        extent = np.minimum(side[:, None], sizes)
        origin = rng.integers(sizes - extent + 1)
        bboxes = np.concatenate([origin, origin + extent], axis=1).astype(np.float32)
        return Chips(bboxes, scale_idx, self.chip_size / side)

    def valid(self, bboxes: ArrayLike, image_size: ImageSize) -> NDArray[np.bool_]:
        """Which boxes are learnt at which scale: (S, M) bool.

        A box is valid at the scales in whose range its size lies; one that none of these can enclose also at the
        finest scale that can. Boxes with a side under 2 px are valid nowhere.

        Args:
            bboxes: (M, 4) xyxy, image frame.
            image_size: (width, height) of the image.
        """
        boxes = clip_boxes(as_boxes(bboxes), (0, 0, *check_image_size(image_size)))
        return assign_scales(boxes, self.valid_ranges, *self.windows(image_size))[0]

    def positive_of_images(
        self, bboxes: NDArray[np.float64], start: NDArray[np.int64], sizes: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int64], Chips]:
        """Of many images at once, :meth:`positive`, each with an ``rng`` of its own: (I,) how many, and the chips.

        Args:
            bboxes: (T, 4) finite boxes xyxy, image frame, without crowds.
            start: (I + 1,); image i owns rows ``start[i]:start[i + 1]``.
            sizes: (I, 2), (width, height) of each image.
            seed: Seed of all of them, >= 0.
        """
        factors, sides = self.windows_of_images(sizes)
        recipe = factors, sides, self.valid_ranges, self.stride
        counts, windows, scale_idx = positive_chips_of_images(bboxes, start, sizes, *recipe, seed)
        side = sides[np.repeat(np.arange(len(sizes)), counts), scale_idx]
        return counts, Chips(windows, scale_idx, self.chip_size / side)

    def windows(self, image_size: ImageSize) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scale factor and side of a chip in image pixels, per scale: (S,) float64, (S,) int64."""
        size = check_image_size(image_size)
        factors = np.array([scale_factor(scale, *size) for scale in self.scales])
        return factors, chip_sides(factors, self.chip_size)

    def windows_of_images(self, sizes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """:meth:`windows` of many images, (I, 2) -> (I, S) float64, (I, S) int64."""
        factors = np.empty((len(sizes), len(self.scales)))
        for s, scale in enumerate(self.scales):  # as scale_factor
            if isinstance(scale, tuple):
                factors[:, s] = np.minimum(max(scale) / sizes.max(axis=1), min(scale) / sizes.min(axis=1))
            else:
                factors[:, s] = scale
        return factors, chip_sides(factors, self.chip_size)

    def canvas(self, extent: tuple[int, int]) -> tuple[int, int]:
        """Size of the sample that a chip of (width, height) network pixels is padded to: ``chip_size``, both."""
        return self.chip_size, self.chip_size

    def resized(self, chip_size: int, zoom: float = 1.0) -> ChipPlanner:
        """A planner with the same valid ranges that has chips of another size.

        Args:
            chip_size: Side of a chip in network pixels.
            zoom: Of all scales, and of the stride. With ``chip_size`` over this planner's, chips show the same windows.

        Raises:
            ValueError: If a range starts at an object that such a chip cannot hold, or the stride is longer than it.
        """
        scales: list[Scale] = [(zoom * s[0], zoom * s[1]) if isinstance(s, tuple) else zoom * s for s in self.scales]
        stride = zoom * self.stride
        if math.isclose(zoom * self.chip_size, chip_size):
            stride = min(stride, chip_size)  # rounded, it may be longer
        return ChipPlanner(scales, self.settings['valid_ranges'], chip_size, stride)

    @property
    def settings(self) -> dict:
        """The arguments that make an equal planner, in types that JSON knows."""
        ranges = [[low, None if high == np.inf else high] for low, high in self.valid_ranges.tolist()]
        scales = [list(scale) if isinstance(scale, tuple) else scale for scale in self.scales]
        return dict(scales=scales, valid_ranges=ranges, chip_size=self.chip_size, stride=self.stride)


def check_image_size(image_size: ImageSize) -> ImageSize:
    """(width, height) as positive whole numbers of pixels.

    Raises:
        ValueError: If it is anything else.
    """
    width, height = image_size
    if not (width >= 1 and height >= 1 and width == int(width) and height == int(height)):
        raise ValueError(f'image_size must be (width, height), whole pixels, at least 1 x 1; got {image_size!r}')
    return int(width), int(height)


def check_min_proposals(min_proposals: int | Sequence[int], n_scales: int) -> NDArray[np.int64]:
    """One least number of proposals per scale, (S,) int64.

    Raises:
        ValueError: If it is neither a whole number >= 1 nor one of these per scale.
    """
    counts = [min_proposals] * n_scales if isinstance(min_proposals, (int, Integral)) else list(min_proposals)
    if len(counts) != n_scales:
        raise ValueError(
            f'{n_scales} scales but {len(counts)} min_proposals: give one number for all or one per scale, '
            f'such as [26, 11, 11]; got {min_proposals!r}'
        )
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
            raise ValueError(f'min_proposals are whole numbers >= 1; got {min_proposals!r}')
    return np.array(counts, np.int64)


def _seed(rng: np.random.Generator | None) -> int:
    return int(ROW_MAJOR) if rng is None else int(rng.integers(np.iinfo(np.int64).max))
