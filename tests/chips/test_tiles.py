import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsniper.chips.tiles import tile_origins


@st.composite
def axes(draw):
    """(length, side, overlap) of an axis."""
    side = draw(st.integers(1, 300))
    return draw(st.integers(side, 5000)), side, draw(st.integers(0, side - 1))


@pytest.mark.parametrize(
    ('length', 'side', 'overlap', 'origins'),
    [
        (1, 1, 0, [0]),
        (100, 100, 99, [0]),
        (101, 100, 50, [0, 1]),
        (200, 100, 0, [0, 100]),
        (201, 100, 0, [0, 50, 101]),
        (250, 100, 50, [0, 50, 100, 150]),
        (10, 4, 3, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_origins(length, side, overlap, origins):
    assert tile_origins(length, side, overlap).tolist() == origins


@given(axes())
def test_tiles_cover_the_axis_and_neighbours_share_the_overlap(axis):
    length, side, overlap = axis
    origins = tile_origins(length, side, overlap)
    assert origins[0] == 0
    assert origins[-1] + side == length, 'the last is flush'
    steps = np.diff(origins)
    assert (steps > 0).all(), 'no tile twice'
    assert (steps <= side - overlap).all()
    assert len(steps) == -(-(length - side) // (side - overlap)), 'as few as can be'
    assert np.ptp(steps) <= 1 if len(steps) else True, 'evenly'


@given(axes(), st.floats(0, 1), st.floats(0, 1))
def test_every_interval_up_to_the_overlap_is_whole_in_a_tile(axis, where, share):
    length, side, overlap = axis
    interval = overlap * share
    low = where * (length - interval)
    origins = tile_origins(length, side, overlap)
    assert ((origins <= low) & (low + interval <= origins + side + 1e-9)).any()
