import cv2
import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmsniper.chips import ChipKey
from mmsniper.datasets.image_cache import ImageCache, nbytes
from mmsniper.datasets.transforms.object_masks import ObjectMasks
from mmsniper.large_images import LargeImage


def key(image, step, keep_until=-1):
    return ChipKey(image, (0, 0, 8, 8), 0, 1.0, seed=0, kind=0, step=step, keep_until=keep_until)


def load():
    return dict(img=np.zeros((10, 10, 3), np.uint8), img_path='a.jpg')


def test_what_is_needed_again_is_kept_until_then():
    cache = ImageCache(10_000)
    first = cache.get(key(0, 0, keep_until=16), load)
    assert cache.get(key(0, 8, keep_until=16), load) is first
    assert cache.get(key(0, 16, keep_until=16), load) is first
    assert cache.n_loaded == 1
    assert cache.get(key(0, 17, keep_until=17), load) is not first, 'let go after the last chip'
    assert cache.n_loaded == 2


def test_what_nobody_came_for_is_let_go():
    cache = ImageCache(10_000)
    cache.get(key(0, 0, keep_until=8), load)
    cache.get(key(1, 9), load)
    cache.get(key(0, 9), load)
    assert cache.n_loaded == 3


def test_partners_of_a_mix_use_what_is_there_and_leave_it():
    cache = ImageCache(10_000)
    first = cache.get(key(0, 4, keep_until=12), load)
    assert cache.get(key(0, 0), load) is first, 'a partner has no step'
    assert cache.get(key(0, 12, keep_until=12), load) is first
    assert cache.n_loaded == 1


def test_nothing_is_kept_without_room_and_that_is_said_once(messages):
    cache = ImageCache(700)
    kept = [cache.get(key(image, 0, keep_until=8), load) for image in (0, 1, 2)]
    again = [cache.get(key(image, 8, keep_until=8), load) for image in (0, 1, 2)]
    assert [one is two for one, two in zip(kept, again, strict=True)] == [True, True, False]
    assert sum('loaded anew for each of its chips' in line for line in messages()) == 1
    cache = ImageCache(0)
    assert cache.get(key(0, 0, keep_until=8), load) is not cache.get(key(0, 8, keep_until=8), load)


def test_maps_and_masks_count():
    masks = BitmapMasks(np.zeros((5, 10, 10), np.uint8), 10, 10)
    assert nbytes(dict(load(), gt_masks=masks, gt_seg_map=np.zeros((10, 10), np.uint8))) == 300 + 500 + 100


@pytest.mark.parametrize('loaded', [dict(), dict(img=None, instances=[])])
def test_without_arrays_there_is_nothing_to_count(loaded):
    assert nbytes(loaded) == 0


def test_an_opened_image_counts_what_it_may_decode(tmp_path):
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), np.zeros((80, 80, 3), np.uint8))
    image = LargeImage(path)
    most = 3 * (80**2 + 40**2 + 20**2 + 10**2)
    assert nbytes(dict(large_image=image)) == most
    for room, kept in ((most, True), (most - 1, False)):
        cache = ImageCache(room)
        cache.get(key(0, 0, keep_until=8), lambda: dict(large_image=image))
        assert (cache.get(key(0, 8, keep_until=8), load).get('large_image') is image) == kept


def test_a_load_that_gives_nothing_is_not_kept():
    cache = ImageCache(1000)
    assert cache.get(key(0, 0, keep_until=8), lambda: None) is None
    assert cache.get(key(0, 8, keep_until=8), load) is not None


def test_polygons_count_too():
    polygons = PolygonMasks([[np.zeros(20), np.zeros(10)], [np.zeros(6)]], 10, 10)
    assert nbytes(dict(gt_masks=polygons)) == nbytes(dict(gt_masks=ObjectMasks.wrap(polygons))) == 36 * 8
