"""ChipPlanner: the chips of one image (SNIPER, sec. 3.2).

Shapes: S scales, M boxes, N chips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .cover import ROW_MAJOR, enclosing_windows, greedy_cover, mix, window_origins
from .geometry import as_boxes, clip_boxes
from .scales import Scale, assign_scales, check_scales, check_valid_ranges, windows_at_scales

ImageSize = tuple[int, int]


@dataclass(frozen=True)
class Chips:
    """Chips of one image.

    Attributes:
        bboxes: (N, 4) float32, image frame; whole numbers inside the image.
        scale_idx: (N,) int64, index into the planner's scales.
        scale: (N,) float64, network pixels per image pixel (see :func:`~mmsniper.chips.chip_window`).
    """

    bboxes: NDArray[np.float32]
    scale_idx: NDArray[np.int64]
    scale: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.bboxes)


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
        if isinstance(chip_size, bool) or not isinstance(chip_size, int) or chip_size < 1:
            raise ValueError(f'chip_size must be a positive whole number of network pixels; got {chip_size!r}')
        if not isinstance(stride, (int, float)) or not 0 < stride <= chip_size:
            raise ValueError(f'stride must be in (0, chip_size={chip_size}], or windows leave gaps; got {stride!r}')
        self.chip_size = int(chip_size)
        self.stride = float(stride)
        self.scales = check_scales(scales)
        self.valid_ranges = check_valid_ranges(valid_ranges, self.scales, self.chip_size)
        pairs = [scale if isinstance(scale, tuple) else (np.nan, np.nan) for scale in self.scales]
        self._zooms = np.array([np.nan if isinstance(scale, tuple) else scale for scale in self.scales])
        self._edges = np.array([(max(pair), min(pair)) for pair in pairs])

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
        seed = ROW_MAJOR if rng is None else rng.integers(np.iinfo(np.int64).max)
        return Chips(*_positive(as_boxes(gt_bboxes), width, height, *self._recipe, seed))

    def random(self, image_size: ImageSize, n_chips: int, rng: np.random.Generator) -> Chips:
        """Chips at random places of random scales, for images without ground truth.

        Args:
            image_size: (width, height) of the image.
            n_chips: How many.
            rng: Source of randomness.
        """
        _, sides = self.windows(image_size)
        scale_idx = rng.integers(len(sides), size=n_chips)
        extent = np.minimum(sides[scale_idx, None], image_size)
        origin = rng.integers(np.asarray(image_size) - extent + 1)
        bboxes = np.concatenate([origin, origin + extent], axis=1).astype(np.float32)
        return Chips(bboxes, scale_idx, self.chip_size / sides[scale_idx])

    def valid(self, bboxes: ArrayLike, image_size: ImageSize) -> NDArray[np.bool_]:
        """Which boxes are learnt at which scale: (S, M) bool.

        A box is valid at the scales in whose range its size lies; one that none of these can enclose also at the
        finest scale that can. Boxes with a side under 2 px are valid nowhere.

        Args:
            bboxes: (M, 4) xyxy, image frame.
            image_size: (width, height) of the image.
        """
        return self._assign(bboxes, image_size)[0]

    def unreachable(self, bboxes: ArrayLike, image_size: ImageSize) -> NDArray[np.bool_]:
        """Boxes that no chip of any scale can enclose, though usable: (M,) bool. A coarser scale would reach them."""
        valid, planned = self._assign(bboxes, image_size)
        return np.logical_and(valid.any(axis=0), ~planned.any(axis=0))

    def windows(self, image_size: ImageSize) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scale factor and side of a chip in image pixels, per scale: (S,) float64, (S,) int64."""
        return windows_at_scales(*check_image_size(image_size), self._zooms, self._edges, self.chip_size)

    @property
    def _recipe(self) -> tuple[NDArray, NDArray, NDArray, int, float]:
        return self._zooms, self._edges, self.valid_ranges, self.chip_size, self.stride

    def _assign(self, bboxes: ArrayLike, image_size: ImageSize) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        width, height = check_image_size(image_size)
        boxes = clip_boxes(as_boxes(bboxes), (0, 0, width, height))
        return assign_scales(boxes, width, height, self.valid_ranges, *self.windows(image_size))


def check_image_size(image_size: ImageSize) -> ImageSize:
    """(width, height) as positive whole numbers of pixels.

    Raises:
        ValueError: If it is anything else.
    """
    width, height = image_size
    if not (width >= 1 and height >= 1 and width == int(width) and height == int(height)):
        raise ValueError(f'image_size must be (width, height), whole pixels, at least 1 x 1; got {image_size!r}')
    return int(width), int(height)


@njit(cache=True)
def _positive(
    bboxes: NDArray,
    width: int,
    height: int,
    zooms: NDArray,
    edges: NDArray,
    ranges: NDArray,
    chip_size: int,
    stride: float,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    boxes = np.empty_like(bboxes)
    for m in range(len(bboxes)):
        boxes[m, 0], boxes[m, 2] = min(max(bboxes[m, 0], 0), width), min(max(bboxes[m, 2], 0), width)
        boxes[m, 1], boxes[m, 3] = min(max(bboxes[m, 1], 0), height), min(max(bboxes[m, 3], 0), height)
    factors, sides = windows_at_scales(width, height, zooms, edges, chip_size)
    planned = assign_scales(boxes, width, height, ranges, factors, sides)[1]
    windows = np.empty((planned.sum(), 4), np.float32)
    scale_idx = np.empty(len(windows), np.int64)
    scale = np.empty(len(windows))
    n = 0
    for s in range(len(sides)):
        if planned[s].any():
            scale_seed = seed if seed == ROW_MAJOR else mix(seed, s)
            found = _cover(boxes[planned[s]], width, height, sides[s], stride / factors[s], 1, scale_seed)[0]
            stop = n + len(found)
            windows[n:stop], scale_idx[n:stop], scale[n:stop] = found, s, chip_size / sides[s]
            n = stop
    return windows[:n], scale_idx[:n], scale[:n]


@njit(cache=True)
def _cover(
    boxes: NDArray, width: int, height: int, side: int, step: float, least: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Greedy cover at one scale: (K, 4) windows inside the image, and (K,) boxes newly covered by each."""
    x_seed = seed if seed == ROW_MAJOR else mix(seed, 0)
    y_seed = seed if seed == ROW_MAJOR else mix(seed, 1)
    xs = window_origins(boxes[:, 0], boxes[:, 2], width, side, step, x_seed)
    ys = window_origins(boxes[:, 1], boxes[:, 3], height, side, step, y_seed)
    x_first, x_stop = enclosing_windows(boxes[:, 0], boxes[:, 2], xs, min(side, width))
    y_first, y_stop = enclosing_windows(boxes[:, 1], boxes[:, 3], ys, min(side, height))
    chosen, gains = greedy_cover(x_first, x_stop, y_first, y_stop, (len(ys), len(xs)), least, seed)
    windows = np.empty((len(chosen), 4), np.int64)
    for k in range(len(chosen)):
        x, y = xs[chosen[k] % len(xs)], ys[chosen[k] // len(xs)]
        windows[k, 0], windows[k, 1] = x, y
        windows[k, 2], windows[k, 3] = min(x + side, width), min(y + side, height)
    return windows, gains
