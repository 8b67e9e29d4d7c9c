import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmsniper.chips import ChipPlanner
from mmsniper.datasets.transforms import IGNORED, INVALID, VALID, ChipSampler
from mmsniper.datasets.transforms.flags import split_flags

PLANNER = ChipPlanner([2.0, (128, 128)], [(None, 60), (40, None)], chip_size=128, stride=16)


def loaded(boxes, size=(300, 200), chip=None, scale_idx=0, crowd=(), masks=None):
    """What the loading transforms leave: a black image whose boxes are white."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for x1, y1, x2, y2 in np.rint(boxes).astype(int):
        image[y1:y2, x1:x2] = 255
    results = dict(
        img=image,
        img_path='some.png',
        width=size[0],
        height=size[1],
        gt_bboxes=HorizontalBoxes(boxes),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.isin(np.arange(len(boxes)), crowd),
    )
    corners = [np.array([x1, y1, x2, y1, x2, y2, x1, y2]) for x1, y1, x2, y2 in boxes]
    if masks == 'polygons':
        results['gt_masks'] = PolygonMasks([[c] for c in corners], size[1], size[0])
    if masks == 'bitmaps':
        bitmaps = np.zeros((len(boxes), size[1], size[0]), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(bitmaps, np.rint(boxes).astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        results['gt_masks'] = BitmapMasks(bitmaps, size[1], size[0])
    if chip is not None:
        _, sides = PLANNER.windows(size)
        results.update(chip=np.array(chip, np.float32), scale_idx=scale_idx, chip_scale=128 / sides[scale_idx])
    return results


def test_a_chip_without_objects_is_an_image_with_empty_labels():
    results = ChipSampler(PLANNER)(loaded([], chip=(10, 20, 74, 84), masks='polygons'))
    assert results['img'].shape == (128, 128, 3)
    assert results['gt_bboxes'].tensor.shape == (0, 4)
    assert len(results['gt_masks']) == len(results['gt_ignore_flags']) == len(results['gt_bboxes_labels']) == 0


def test_boxes_are_cropped_zoomed_and_judged():
    boxes = [
        [20, 30, 40, 50],  # in range, whole
        [60, 30, 90, 60],  # in range, under half of it inside: 14 of 30 columns
        [0, 0, 150, 150],  # too large for the scale
        [200, 100, 220, 120],  # elsewhere
        [12, 70, 30, 80],  # a crowd
        [73, 60, 90, 80],  # in range, a sliver of 1 image px inside
    ]
    results = ChipSampler(PLANNER)(dict(loaded(boxes, chip=(10, 20, 74, 84), crowd=[4]), keep_sizes=True))
    assert results['gt_bboxes'].tensor.tolist() == [
        [20, 20, 60, 60],
        [100, 20, 128, 80],
        [0, 0, 128, 128],
        [4, 100, 40, 120],
        [126, 80, 128, 120],
    ]
    assert results['gt_bboxes_labels'].tolist() == [0, 1, 2, 4, 5]
    assert split_flags(results['gt_ignore_flags']).kinds.tolist() == [VALID, INVALID, INVALID, IGNORED, IGNORED]
    whole = split_flags(results['gt_ignore_flags']).sizes
    assert whole == pytest.approx([0, 60, 300, 0, 2 * (17 * 20) ** 0.5], abs=1 / 16), 'of what is cut'
    plain = ChipSampler(PLANNER)(loaded(boxes, chip=(10, 20, 74, 84), crowd=[4]))
    assert plain['gt_ignore_flags'].tolist() == [VALID, INVALID, INVALID, IGNORED, IGNORED], (
        'where others may read them'
    )
    assert results['valid_range'] == (0, 120)
    assert results['scale_factor'] == (2, 2)
    assert results['img_shape'] == (128, 128)


@pytest.mark.parametrize(('min_visible', 'flag'), [(0.4, VALID), (0.5, INVALID)])
def test_min_visible_decides_on_cut_objects(min_visible, flag):
    results = ChipSampler(PLANNER, min_visible=min_visible)(loaded([[60, 30, 90, 60]], chip=(10, 20, 74, 84)))
    assert split_flags(results['gt_ignore_flags']).kinds.tolist() == [flag]


def test_a_valid_object_is_never_a_sliver():
    # 2 px wide and 100 long: under min_side at the coarse scale, yet this scale is the one that rescues it.
    results = ChipSampler(PLANNER)(loaded([[50, 50, 52, 150]], chip=(0, 0, 300, 200), scale_idx=1))
    assert PLANNER.valid([[50, 50, 52, 150]], (300, 200))[:, 0].tolist() == [True, True]
    assert split_flags(results['gt_ignore_flags']).kinds.tolist() == [VALID]


def test_small_images_are_padded_to_the_chip_size():
    results = ChipSampler(PLANNER, pad_val=(7, 8, 9))(loaded([[5, 5, 15, 15]], size=(40, 30), chip=(0, 0, 40, 30)))
    assert results['img'].shape == (128, 128, 3)
    assert results['img'][60:].reshape(-1, 3).tolist() == [[7, 8, 9]] * (68 * 128)
    assert results['img'][:60, 80:].reshape(-1, 3).tolist() == [[7, 8, 9]] * (60 * 48)
    assert results['gt_bboxes'].tensor.tolist() == [[10, 10, 30, 30]]


def test_grey_images_and_numpy_boxes_work():
    results = loaded([[20, 30, 40, 50]], chip=(10, 20, 74, 84))
    results.update(img=results['img'][..., 0], gt_bboxes=results['gt_bboxes'].numpy())
    results = ChipSampler(PLANNER)(results)
    assert results['img'].shape == (128, 128)
    assert results['gt_bboxes'].tolist() == [[20, 20, 60, 60]]


def test_semantic_maps_are_cut_alike():
    results = loaded([[20, 30, 40, 50]], size=(50, 60), chip=(0, 0, 50, 60))
    results['gt_seg_map'] = (results['img'][..., 0] > 0).astype(np.uint8) * 5
    results = ChipSampler(PLANNER)(results)
    assert results['gt_seg_map'].shape == (128, 128)
    assert (results['gt_seg_map'][60:100, 40:80] == 5).all()
    assert (results['gt_seg_map'][120:] == 255).all()
    assert (results['gt_seg_map'] == 5).sum() == 1600


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64, bool])
def test_semantic_maps_show_the_pixels_at_their_centres(dtype):
    # Every column of the image has a value of its own, so the map tells which column a chip's pixel shows.
    results = loaded([], size=(100, 80), chip=(10, 0, 90, 80), scale_idx=0)
    results['gt_seg_map'] = np.tile(np.arange(100), (80, 1)).astype(dtype)
    seg_map = ChipSampler(ChipPlanner([1.6], [(None, None)], chip_size=128, stride=16), seg_pad_val=0)(
        results | dict(chip_scale=1.6)
    )['gt_seg_map']
    assert seg_map.dtype == dtype
    assert (seg_map == (10 + (2 * np.arange(128) + 1) * 80 // 256).astype(dtype)).all()


rectangles = st.tuples(st.integers(0, 250), st.integers(0, 150), st.integers(8, 49), st.integers(8, 49))


@settings(max_examples=60, deadline=None)
@given(
    rectangles,
    st.sampled_from([2.0, 1.3, 0.6, (128, 128)]),
    st.sampled_from(['polygons', 'bitmaps']),
    st.integers(0, 99),
)
def test_pixels_boxes_and_masks_agree_within_a_pixel(rectangle, scale, kind, seed):
    x, y, w, h = rectangle
    planner = ChipPlanner([scale], [(None, None)], chip_size=128, stride=8)
    results = loaded([[x, y, x + w, y + h]], masks=kind)
    results = ChipSampler(planner)(results | draw_chip(planner, results, seed))
    x1, y1, x2, y2 = results['gt_bboxes'].tensor[0].tolist()
    content = tuple(np.rint(np.array(results['chip'][2:] - results['chip'][:2]) * results['scale_factor']).astype(int))
    white = results['img'][: content[1], : content[0], 0] > 127
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(np.array(found) - [x1, y1, x2, y2]).max() <= 1
    mask = results['gt_masks'].to_ndarray()[0]
    assert mask.shape == (128, 128)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert np.abs(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - [x1, y1, x2, y2]).max() <= 1.5


def draw_chip(planner, results, seed):
    chips = planner.positive(results['gt_bboxes'].numpy(), (300, 200), np.random.default_rng(seed))
    return dict(chip=chips.bboxes[0], scale_idx=int(chips.scale_idx[0]), chip_scale=float(chips.scale[0]))


def test_a_mask_cut_into_parts_stays_one_instance():
    # A U whose two arms reach into the chip.
    u = np.array([10, 10, 20, 10, 20, 60, 40, 60, 40, 10, 50, 10, 50, 80, 10, 80], float)
    results = loaded([[10, 10, 50, 80]], size=(64, 100), chip=(0, 0, 64, 64))
    results['gt_masks'] = PolygonMasks([[u]], 100, 64)
    results['chip'] = np.array([0, 0, 64, 50], np.float32)
    masks = ChipSampler(PLANNER)(results)['gt_masks']
    assert len(masks) == 1
    assert masks.areas.tolist() == [2 * 20 * 80]
    drawn = masks.to_ndarray()[0]
    assert drawn[60, 30] == drawn[60, 90] == 1
    assert drawn[60, 60] == 0


def test_alone_it_draws_a_chip_per_visit():
    boxes = [[5, 5, 15, 15], [250, 150, 260, 160], [20, 20, 180, 180]]
    np.random.seed(0)
    sampler = ChipSampler(
        dict(scales=[2.0, (128, 128)], valid_ranges=[(None, 60), (40, None)], chip_size=128, stride=16)
    )
    chips = set()
    for _ in range(60):
        results = sampler(loaded(boxes, crowd=[2]))
        chips.add((tuple(results['chip'].tolist()), results['scale_idx']))
        assert (split_flags(results['gt_ignore_flags']).kinds == VALID).any()
    assert {scale for _, scale in chips} == {0}, 'a crowd makes no chip'
    assert len(chips) > 20
    empty = {tuple(sampler(loaded([]))['chip'].tolist()) for _ in range(20)}
    assert len(empty) > 5


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='no planner'):
        ChipSampler()(loaded([], chip=(0, 0, 64, 64)))
    with pytest.raises(ValueError, match='min_visible'):
        ChipSampler(PLANNER, min_visible=0)
    with pytest.raises(ValueError, match='min_side'):
        ChipSampler(PLANNER, min_side=-1)
    wrong = loaded([], chip=(0, 0, 64, 64)) | dict(width=200, height=300)
    with pytest.raises(ValueError, match=r'some\.png: the file is 300 x 200 .* says 200 x 300'):
        ChipSampler(PLANNER)(wrong)


def test_a_resized_image_is_no_wrong_annotation():
    with pytest.raises(ValueError, match='before Resize'):
        ChipSampler(PLANNER)(loaded([], chip=(0, 0, 64, 64)) | dict(scale_factor=(2.0, 2.0)))


def test_repr_shows_the_recipe():
    assert 'min_visible=0.5' in repr(ChipSampler(PLANNER))
    assert 'chip_size=128' in repr(ChipSampler(PLANNER))


def test_images_without_annotations_pass():
    results = loaded([], chip=(10, 20, 74, 84))
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        del results[key]
    assert torch.from_numpy(ChipSampler(PLANNER)(results)['img']).shape == (128, 128, 3)
