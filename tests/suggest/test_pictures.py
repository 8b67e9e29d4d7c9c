"""The picture of a suggestion."""

import cv2

from mmsniper.suggest import suggest
from mmsniper.suggest.pictures import draw


def test_sizes_and_ranges_are_drawn(make, demo, tmp_path):
    found = suggest(make('log-uniform'), demo)
    draw(demo, found, 'A title', tmp_path / 'picture.png')
    picture = cv2.imread(str(tmp_path / 'picture.png'))
    assert picture.shape == (990, 990, 3)
    # BGR of the first scale's range, over white at an opacity of 0.8, and of the sizes in the images.
    for colour in ((124, 109, 218), (174, 153, 141)):
        assert (abs(picture.astype(int) - colour).max(2) <= 3).sum() > 1000


def test_one_size_is_drawn_too(make, r50, tmp_path):
    draw(r50, suggest(make('one size'), r50), 'One', tmp_path / 'one.png')
    assert (tmp_path / 'one.png').stat().st_size > 10_000
