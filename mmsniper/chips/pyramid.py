"""PyramidPlanner: whole images at every scale, which is SNIP (Singh and Davis, CVPR 2018) and what SNIPER saves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .planner import ChipPlanner, Chips, ImageSize, check_image_size
from .scales import Scale

# A chip of this many network pixels holds any image at any scale.
_NO_LIMIT = 10**9


class PyramidPlanner(ChipPlanner):
    """Takes every image whole, once per scale and epoch; what is valid where is as in :class:`ChipPlanner`.

    SNIP, the costly baseline: about three times the pixels of SNIPER. Samples have the size of the image at their
    scale, nothing is padded, so batches are best kept small.

    Args:
        scales: As for :class:`ChipPlanner`.
        valid_ranges: As for :class:`ChipPlanner`.

    Raises:
        ValueError: As :class:`ChipPlanner`.
    """

    def __init__(self, scales: Sequence[Scale], valid_ranges: Sequence[Sequence[float | None]]) -> None:
        super().__init__(scales, valid_ranges, chip_size=_NO_LIMIT, stride=_NO_LIMIT)

    def __repr__(self) -> str:
        ranges = [tuple(pair) for pair in self.valid_ranges.tolist()]
        return f'PyramidPlanner(scales={list(self.scales)}, valid_ranges={ranges})'

    @property
    def settings(self) -> dict:
        """The arguments that make an equal planner by :func:`build_planner`."""
        settings = super().settings
        return dict(type='PyramidPlanner', scales=settings['scales'], valid_ranges=settings['valid_ranges'])

    def positive(self, gt_bboxes: ArrayLike, image_size: ImageSize, rng: np.random.Generator | None = None) -> Chips:
        """The image at every scale, whatever is in it: S chips. Arguments as for :meth:`ChipPlanner.positive`."""
        size = np.array([check_image_size(image_size)])
        _, chips = self.positive_of_images(np.zeros((0, 4)), np.zeros(2, np.int64), size, seed=0)
        return chips

    def positive_of_images(
        self, bboxes: NDArray[np.float64], start: NDArray[np.int64], sizes: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int64], Chips]:
        """Every image at every scale: (I,) S each, and I * S chips. As :meth:`ChipPlanner.positive_of_images`."""
        n_images, n_scales = len(sizes), len(self.scales)
        whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1).astype(np.float32)
        factors = self.windows_of_images(sizes)[0].reshape(-1)
        chips = Chips(np.repeat(whole, n_scales, axis=0), np.tile(np.arange(n_scales), n_images), factors)
        return np.full(n_images, n_scales), chips

    def negative(
        self,
        proposals: ArrayLike,
        image_size: ImageSize,
        positives: Chips,
        min_proposals: int | Sequence[int],
        rng: np.random.Generator | None = None,
    ) -> Chips:
        """Refused: whole images leave nothing uncovered."""
        raise ValueError('PyramidPlanner shows images whole, so there are no negative chips to mine: leave them out')

    def canvas(self, extent: tuple[int, int]) -> tuple[int, int]:
        """Size of a sample, (width, height) in network pixels: that of the image at its scale."""
        return extent


PLANNERS = dict(ChipPlanner=ChipPlanner, PyramidPlanner=PyramidPlanner)


def build_planner(planner: ChipPlanner | dict) -> ChipPlanner:
    """A planner, or one from a config: its arguments, and ``type`` if it is not ``ChipPlanner``.

    Raises:
        ValueError: If there is no such type, or as the planner raises.
    """
    if isinstance(planner, ChipPlanner):
        return planner
    settings = dict(planner)
    kind = settings.pop('type', 'ChipPlanner')
    if kind not in PLANNERS:
        raise ValueError(f'planner: type is one of {", ".join(PLANNERS)}; got {kind!r}')
    return PLANNERS[kind](**settings)
