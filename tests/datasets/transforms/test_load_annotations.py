import numpy as np
import pytest

from mmsniper.datasets.transforms import LoadChipAnnotations
from mmsniper.datasets.transforms.object_masks import PixelMask

SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]


def loaded(masks, **changes):
    instances = [dict(bbox=[1, 1, 5, 4], bbox_label=n, ignore_flag=0, mask=mask) for n, mask in enumerate(masks)]
    load = LoadChipAnnotations(with_bbox=True, with_mask=True)
    return load(dict(instances=instances, height=6, width=8, img_path='some.png') | changes)


def test_masks_stay_as_they_are_annotated():
    rle = dict(size=[6, 8], counts=[7, 3, 38])
    results = loaded([[SQUARE, SQUARE], rle, [SQUARE, [1, 1, 2, 2]]])
    first, second, third = results['gt_masks'].objects
    assert [polygon.tolist() for polygon in first] == [SQUARE, SQUARE]
    assert all(polygon.dtype == np.float64 for polygon in first)
    assert (second.x, second.y, second.pixels.tolist()) == (1, 1, [[1], [1], [1]])
    assert [polygon.tolist() for polygon in third] == [SQUARE], 'a polygon of two points is none'
    assert results['gt_ignore_flags'].tolist() == [False, False, False]
    assert isinstance(loaded([rle], height=None, width=None)['gt_masks'].objects[0], PixelMask)


@pytest.mark.parametrize('mask', [[], [[1, 1, 2, 2]], [[1, 1, 2, 2, 3]]])
def test_objects_without_a_polygon_of_three_points_are_ignored(mask):
    results = loaded([[SQUARE], mask])
    assert results['gt_ignore_flags'].tolist() == [False, True]
    assert results['instances'][1]['ignore_flag'] == 0, 'what others may share stays as it is'
    assert len(results['gt_masks']) == 2


def test_images_without_objects_and_pipelines_without_masks():
    assert len(loaded([])['gt_masks']) == 0
    assert 'gt_masks' not in LoadChipAnnotations(with_bbox=True)(dict(instances=[]))


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (None, 'None is neither polygons nor RLE'),
        ('text', "'text' is neither"),
        (dict(size=[8, 6], counts=[48]), r'size \[8, 6\], in an image of \(6, 8\)'),
        (dict(size=[6, 8], counts=[47]), 'do not add up'),
        (dict(counts=[48]), 'size None'),
    ],
)
def test_what_is_no_mask_is_named(mask, message):
    with pytest.raises(ValueError, match=rf'some\.png: the mask of instance 1: .*{message}'):
        loaded([[SQUARE], mask])


def test_poly2mask_has_no_meaning():
    with pytest.raises(TypeError, match='take poly2mask out'):
        LoadChipAnnotations(with_mask=True, poly2mask=False)
    assert 'poly2mask' not in repr(LoadChipAnnotations(with_mask=True))
