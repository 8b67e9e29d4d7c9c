import math

import mmcv
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mmsniper.models.views import BORDER, View, choose_views

EVERY_SIZE = (0.0, math.inf)
PAPERS = ((2000.0, 1400.0), (1280.0, 800.0), (512.0, 480.0))
PAPERS_RANGES = [(0.0, 90.0), (32.0, 180.0), (75.0, math.inf)]


def tiles(size, zoom, largest, max_canvas, flip=False):
    return choose_views(0, size, (zoom,), [(0.0, largest)], flip, max_canvas)


def pixels(width, height):
    """(3, H, W) uint8 noise."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, height, width), np.uint8))


def grown(seed, n, width, height, largest):
    """n random boxes (n, 4), none with a side beyond `largest`."""
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height])
    sides = torch.minimum(torch.rand(n, 2, generator=g, dtype=torch.double) * largest, size)
    corner = torch.rand(n, 2, generator=g, dtype=torch.double) * (size - sides)
    at_border = torch.rand(n, 2, generator=g) < 0.2
    corner = torch.where(at_border, (size - sides) * (torch.rand(n, 2, generator=g) < 0.5), corner)
    return torch.cat([corner, corner + sides], 1)


@pytest.mark.parametrize('size', [(1, 1), (4000, 3000), (20000, 50), (50, 20000), (640, 480), (333, 501)])
def test_a_whole_image_has_the_size_that_mmcv_gives_it(size):
    width, height = size
    views = choose_views(7, size, PAPERS, PAPERS_RANGES, False, 2048)
    assert [view.scale_idx for view in views] == [0, 1, 2]
    for view, scale in zip(views, PAPERS, strict=True):
        expected = mmcv.rescale_size(size, tuple(int(edge) for edge in scale))
        assert view.shape == (max(expected[1], 1), max(expected[0], 1))
        assert (view.image_idx, view.window, view.overlap, view.flip) == (7, (0, 0, width, height), (0, 0), False)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.one_of(st.floats(0.1, 6), st.tuples(st.integers(300, 2000), st.integers(300, 2000))),
)
def test_sizes_are_imrescales(size, scale):
    (view,) = choose_views(0, size, (scale,), [EVERY_SIZE], False, 10**6)
    width, height = mmcv.rescale_size(size, scale)
    assert view.shape == (max(height, 1), max(width, 1))


@pytest.mark.parametrize('zoom', [0.31, 0.5, 1.0, 1.37, 3.0])
def test_a_whole_image_looks_as_mmcv_makes_it(zoom):
    image = pixels(101, 67)
    (view,) = tiles((101, 67), zoom, math.inf, 2048)
    expected = mmcv.imrescale(image.permute(1, 2, 0).numpy(), zoom)
    shown = view.cut(image)
    assert tuple(shown.shape[1:]) == expected.shape[:2]
    apart = (shown.float() - torch.from_numpy(expected).permute(2, 0, 1)).abs()
    assert apart.max() <= 1, 'rounding'
    mirrored = view._replace(flip=True).cut(image)
    assert torch.equal(mirrored, shown.flip(-1))


def test_a_tile_at_zoom_1_is_the_image_s_own_pixels():
    image = pixels(300, 200)
    for view in tiles((300, 200), 1.0, 20, 128):
        x1, y1, x2, y2 = view.window
        assert torch.equal(view.cut(image).float(), image[:, y1:y2, x1:x2].float())


def test_a_tile_looks_like_its_part_of_the_whole():
    image = pixels(120, 90)
    (whole,) = tiles((120, 90), 2.0, 20, 1000)
    whole = whole.cut(image).float()
    for view in tiles((120, 90), 2.0, 20, 100):
        x1, y1, x2, y2 = (2 * edge for edge in view.window)
        part = whole[:, y1:y2, x1:x2]
        assert (view.cut(image).float() - part)[:, 1:-1, 1:-1].abs().max() <= 1


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 500), st.integers(1, 300)),
    st.floats(0.2, 6),
    st.integers(40, 300),
    st.floats(0.01, 1),
    st.integers(0, 2**32),
)
@example((500, 20), 1.0, 100, 0.98, 0)  # as large as a tile can hold
@example((500, 20), 1.0, 100, 0.005, 0)
def test_tiles_show_every_object_of_the_range_whole(size, zoom, max_canvas, share, seed):
    width, height = size
    side, margin = int(max_canvas / zoom), math.ceil(2 * BORDER / zoom)
    largest = share * (side - margin)
    assume(0 < math.ceil(largest) < side - margin)
    views = tiles(size, zoom, largest, max_canvas)
    assume(len(views) < 500)
    boxes = grown(seed, 50, width, height, largest * 0.9999)
    shown = torch.zeros(len(boxes), dtype=bool)
    seen = torch.zeros(height, width, dtype=bool)
    for view in views:
        x1, y1, x2, y2 = view.window
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        assert max(view.shape) <= max_canvas
        assert abs(view.shape[1] - zoom * (x2 - x1)) <= 1 and abs(view.shape[0] - zoom * (y2 - y1)) <= 1
        inside = (boxes[:, :2] >= boxes.new_tensor([x1, y1])).all(1)
        inside &= (boxes[:, 2:] <= boxes.new_tensor([x2, y2])).all(1)
        shown |= inside & view.whole(boxes, size)
        seen[y1:y2, x1:x2] = True
    assert shown.all()
    assert seen.all(), 'nothing of the image is left out'


def whole_in_one(views, box, size):
    """Whether a tile shows all of a box (4,), clear of its inner borders."""
    inside = [view for view in views if view.window[0] <= box[0] and box[2] <= view.window[2]]
    return any(view.whole(box[None], size).item() for view in inside)


@pytest.mark.parametrize(('length', 'width', 'all_whole'), [(119, 30, True), (180, 20, False)])
def test_up_to_four_times_as_long_as_wide_is_whole(length, width, all_whole):
    views, size = tiles((3000, 100), 1.0, 60.0, 512), (3000, 100)
    assert {view.overlap for view in views} == {(128, 0)}
    boxes = [torch.tensor([left, 10.0, left + length, 10 + width]) for left in range(0, 2820, 3)]
    assert all(whole_in_one(views, box, size) for box in boxes) == all_whole
    for box in boxes:
        parts = []
        for view in views:
            x1, x2 = max(box[0].item(), view.window[0]), min(box[2].item(), view.window[2])
            part = torch.tensor([[x1, 10.0, x2, 10 + width]])
            parts += [x2 - x1] if x2 > x1 and view.whole(part, size) else []
        assert parts, 'of each there is a detection'
        assert all(part > 120 or part == length for part in parts), 'none of a small part'


@pytest.mark.parametrize(
    ('size', 'max_canvas', 'n_views'), [((1, 1), 64, 1), ((20000, 50), 2048, 39), ((4000, 3000), 2048, 48)]
)
def test_odd_images_at_a_zoom_factor(size, max_canvas, n_views):
    views = tiles(size, 3.0, 80, max_canvas)
    assert len(views) == n_views
    assert all(max(view.shape) <= max_canvas for view in views)


def test_tiles_are_as_small_as_so_many_may_be():
    """Of 6000 x 4500 px four by three tiles of the full side would be 1.9 times the canvas."""
    views = tiles((3000, 2250), 2.0, 72, 2048)
    assert {view.overlap for view in views} == {(148, 148)}
    assert len(views) == 12 and {view.shape for view in views} == {(1698, 1722)}  # (4500 + 2 * 296) / 3 and so on
    least = choose_views(0, (3000, 2250), (2.0,), [(0.0, 72)], False, 2048, 1710)
    assert {view.shape for view in least} == {(1710, 1722)}, 'not smaller than a chip'
    full = choose_views(0, (3000, 2250), (2.0,), [(0.0, 72)], False, 2048, 2048)
    assert {view.shape for view in full} == {(2048, 2048)}


def test_a_pixel_larger_than_the_canvas():
    views = choose_views(0, (1, 1), PAPERS, [EVERY_SIZE] * 3, False, 500)
    assert [view.shape for view in views] == [(500, 500), (500, 500), (480, 480)]
    views = choose_views(0, (3, 1), ((2000.0, 2000.0),), [EVERY_SIZE], False, 500)
    assert [view.window for view in views] == [(0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 3, 1)]
    assert {view.shape for view in views} == {(500, 500)}


def test_flips_double_the_views():
    plain, flipped = (tiles((700, 500), 1.0, 50, 400, flip) for flip in (False, True))
    assert [view for view in flipped if not view.flip] == plain
    assert [view._replace(flip=False) for view in flipped if view.flip] == plain


def test_an_open_range_overlaps_by_half():
    views = tiles((1000, 100), 1.0, math.inf, 400)
    assert {view.overlap for view in views} == {(200, 0)}
    assert [view.window[0] for view in views] == [0, 200, 400, 600]


@pytest.mark.parametrize('zoom', [1.0, 2.0])
def test_a_canvas_too_small_for_the_range_is_named(zoom):
    size = (600, 200)
    side = 256 // int(zoom)
    largest = side - 2 * BORDER / zoom
    assert len(tiles(size, zoom, largest - 1, 256)) > 1
    for beyond in (largest - 0.5, largest):
        with pytest.raises(
            ValueError, match=rf'max_canvas=256 is {side} image pixels at zoom {zoom:g}, too small .* up'
        ):
            tiles(size, zoom, beyond, 256)
    assert len(tiles((256 // int(zoom), 1), zoom, 9999, 256)) == 1, 'one that needs no tiles has no such limit'


@pytest.fixture
def middle():
    """A tile amid an image of 1000 x 100, at zoom 2: x 200 to 300, overlap 60; 2 image pixels are the border."""
    return View(0, 0, (200, 0, 300, 100), (200, 200), (60, 0))


@pytest.mark.parametrize(
    ('box', 'kept'),
    [
        ((240, 40, 260, 60), True),
        ((200, 40, 220, 60), False),  # on the left border
        ((201.9, 40, 220, 60), False),
        ((202, 40, 220, 60), True),
        ((280, 40, 300, 60), False),  # on the right border
        ((280, 40, 298.1, 60), False),
        ((280, 40, 298, 60), True),
        ((240, 0, 260, 100), True),  # top and bottom are the image's own
        ((200, 0, 300, 100), True),  # longer than the overlap: no tile has it whole
        ((200, 40, 257, 60), True),
        ((200, 40, 255.9, 60), False),
    ],
)
def test_what_touches_an_inner_border_is_dropped(middle, box, kept):
    assert middle.whole(torch.tensor([box]), (1000, 100)).tolist() == [kept]
    alone = middle._replace(overlap=(0, 0))
    assert alone.whole(torch.tensor([box]) - torch.tensor([200, 0, 200, 0]), (100, 100)).tolist() == [True]


def test_at_the_image_s_border_it_stays(middle):
    first = middle._replace(window=(0, 0, 100, 100))
    last = middle._replace(window=(900, 0, 1000, 100))
    left, right = torch.tensor([[0.0, 40, 20, 60]]), torch.tensor([[980.0, 40, 1000, 60]])
    assert first.whole(torch.cat([left, left + 80]), (1000, 100)).tolist() == [True, False]
    assert last.whole(torch.cat([right, right - 80]), (1000, 100)).tolist() == [True, False]
    assert first.whole(torch.zeros(0, 4), (1000, 100)).tolist() == []


@settings(deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_boxes_come_back_to_the_image(seed, flip):
    view = View(0, 0, (37, 11, 237, 91), (120, 274), (10, 10), flip)
    boxes = grown(seed, 10, 200, 80, 60) + torch.tensor([37, 11, 37, 11])
    zoom_x, zoom_y = view.zoom
    assert (zoom_x, zoom_y) == (274 / 200, 120 / 80)
    seen = (boxes - boxes.new_tensor([37, 11, 37, 11])) * boxes.new_tensor([zoom_x, zoom_y, zoom_x, zoom_y])
    if flip:
        seen[:, [0, 2]] = 274 - seen[:, [2, 0]]
    assert (seen[:, 2:] >= seen[:, :2]).all()
    assert torch.allclose(view.to_image(seen), boxes)
    assert view.to_image(torch.zeros(0, 4)).shape == (0, 4)
