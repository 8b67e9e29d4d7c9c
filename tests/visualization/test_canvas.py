import numpy as np
import pytest

from mmsniper.image_files import spread
from mmsniper.visualization.canvas import (
    BOXES,
    CHIPS,
    GROUND,
    MARGIN,
    Line,
    grid,
    legend,
    rectangle,
    titled,
    with_legend,
)

WHITE = Line((255, 255, 255))


@pytest.mark.parametrize('box', [(-5, -5, 4, 4), (8, 8, 30, 30), (-9, 3, 99, 6), (40, 40, 50, 50), (-9, -9, -2, -2)])
@pytest.mark.parametrize('thickness', [1, 2])
def test_dashes_are_part_of_the_solid_outline(box, thickness):
    solid, dashed = np.zeros((2, 16, 16, 3), np.uint8)
    rectangle(solid, np.array(box), Line((255, 255, 255), 0, thickness))
    rectangle(dashed, np.array(box), Line((255, 255, 255), 2, thickness))
    assert (solid[dashed > 0] == 255).all()
    assert 0.3 * (solid > 0).sum() <= (dashed > 0).sum() <= 0.7 * (solid > 0).sum()


def test_a_title_is_never_cut():
    narrow, wide = (
        titled(np.full((8, width, 3), 200, np.uint8), 'a title of some length', (9, 9, 255)) for width in (8, 400)
    )
    assert wide.shape == (8 + MARGIN + 4, 404, 3)
    assert narrow.shape[1] < 200
    assert (narrow[:MARGIN] == wide[:MARGIN, : narrow.shape[1]]).all()
    assert (narrow[:MARGIN, -3:] == GROUND).all()
    assert not (narrow[:MARGIN, -20:-3] == GROUND).all()


def test_a_legend_has_every_line_in_as_many_rows_as_it_takes():
    lines = {name: Line((0, 0, n + 1)) for n, name in enumerate([*BOXES, *CHIPS])}
    heights = []
    for width in (200, 640, 1900):
        strip = legend(width, lines)
        assert strip.shape[1] == width
        assert {pixel[2] for pixel in strip.reshape(-1, 3) if pixel[0] == 0} == {1, 2, 3, 4, 5, 6}
        heights.append(len(strip))
    assert heights[0] > heights[1] > heights[2]
    picture = with_legend(np.zeros((30, 640, 3), np.uint8), lines)
    assert picture.shape[:2] == (30 + heights[1], 640)


def test_a_grid_keeps_every_tile_whole():
    tiles = [np.full((height, width, 3), n + 1, np.uint8) for n, (height, width) in enumerate([(4, 6), (8, 2), (3, 3)])]
    picture = grid(tiles, width=12)
    assert picture.shape == (16, 12, 3)
    assert [(picture == n + 1).all(-1).sum() for n in range(3)] == [24, 16, 9]
    assert (picture[8:, 6:] == GROUND).all()
    assert grid(tiles, width=1).shape == (24, 6, 3)


@pytest.mark.parametrize(('n', 'most', 'expected'), [(0, 3, []), (1, 3, [0]), (3, 3, [0, 1, 2]), (9, 3, [0, 4, 8])])
def test_what_is_shown_is_spread_over_all(n, most, expected):
    assert spread(n, most).tolist() == expected
