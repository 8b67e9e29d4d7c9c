"""Random images, boxes and recipes for property tests."""

import numpy as np
from hypothesis import strategies as st

from mmsniper.chips import ChipPlanner

image_sizes = st.tuples(st.integers(1, 900), st.integers(1, 900))


@st.composite
def planners(draw):
    """Planners with one to three scales and overlapping or touching ranges; the coarsest reaches every object."""
    chip_size = draw(st.sampled_from([64, 128, 200]))
    stride = draw(st.sampled_from([8, 16, chip_size // 2, chip_size]))
    zooms = draw(st.lists(st.floats(0.2, 4), max_size=2))
    scales = [*zooms, (chip_size, chip_size)]
    cut = st.floats(1, chip_size / max([*zooms, 1]) / 2)
    cuts = sorted(draw(st.lists(cut, min_size=len(zooms), max_size=len(zooms), unique=True)))
    overlap = draw(st.floats(1, 2))
    lows, highs = [None, *cuts], [*(cut * overlap for cut in cuts), None]
    return ChipPlanner(scales, list(zip(lows, highs, strict=True)), chip_size, stride)


@st.composite
def images(draw, max_boxes=20):
    """(boxes (M, 4), (width, height)); boxes may stick out of the image a little, and be tiny."""
    width, height = draw(image_sizes)
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, max_boxes))
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(1), np.log([width + 2, height + 2]), (n, 2)))
    corners = rng.uniform(-1, 1, (n, 2)) + rng.uniform(0, 1, (n, 2)) * np.maximum([width, height] - sides, 0)
    return np.concatenate([corners, corners + sides], 1), (width, height)
