import numpy as np
import pytest

from mmsniper.chips import ChipKind, ChipPlanner, NegativePool
from mmsniper.datasets import ChipDataset

SMALL = dict(bbox=[20, 20, 20, 20])  # valid at scale 0 only, whose chips have 64 px
LARGE = dict(bbox=[130, 60, 60, 60])  # valid at scale 1 only, whose chips have 128 px
IMAGES = [(320, 240, [SMALL, LARGE]), (200, 150, []), (150, 100, [])]
CHIPS = {
    'images/0.png': ([[0, 0, 64, 64], [150, 70, 214, 134], [240, 160, 304, 224], [100, 40, 228, 168]], [0, 0, 0, 1]),
    'images/1.png': ([[0, 0, 64, 64], [100, 80, 164, 144], [40, 10, 104, 74]], [0, 0, 0]),
    'images/2.png': ([], []),
}
SIZES = {f'images/{i}.png': (width, height) for i, (width, height, _) in enumerate(IMAGES)}


@pytest.fixture
def save_pool(planner_cfg, tmp_path):
    """Writes a pool, CHIPS unless told otherwise, and returns the argument `negatives`."""

    def save(chips=CHIPS, sizes=SIZES, per_image=2, **planner_changes):
        planner = ChipPlanner(**{**planner_cfg, **planner_changes})
        images = [(f'elsewhere/{key}', sizes[key], *chips[key]) for key in chips]
        path = tmp_path / 'negatives.npz'
        NegativePool.build(planner, 3, images).save(path)
        return dict(ann_file=str(path), per_image=per_image)

    return save


@pytest.fixture
def make(write_coco, planner_cfg, pipeline):
    """Builds a ChipDataset of IMAGES."""
    cfg = write_coco(IMAGES)
    return lambda negatives, **kwargs: ChipDataset(cfg, planner_cfg, pipeline, negatives=negatives, **kwargs)


def negative_boxes(plan, image):
    rows = (plan.image_idx == image) & (plan.kind == ChipKind.NEGATIVE)
    return [tuple(box) for box in plan.chips.bboxes[rows].tolist()]


def test_each_epoch_draws_from_the_pool(make, save_pool):
    dataset = make(save_pool())
    plans = [dataset.plan(epoch) for epoch in range(20)]
    assert all(len(set(negative_boxes(plan, 0))) == 2 for plan in plans)
    assert {box for plan in plans for box in negative_boxes(plan, 0)} == {tuple(b) for b in CHIPS['images/0.png'][0]}
    again = dataset.plan(3)
    assert [again.key(n) for n in range(len(again))] == [plans[3].key(n) for n in range(len(plans[3]))]


def test_empty_images_take_part(make, save_pool):
    plan = make(save_pool(), empty_chips=3).plan(0)
    assert plan.kind[plan.image_idx == 1].tolist() == [ChipKind.NEGATIVE] * 2
    assert plan.kind[plan.image_idx == 2].tolist() == [ChipKind.RANDOM] * 3


def test_negative_chips_are_cut_like_any_other(make, save_pool):
    dataset = make(save_pool(per_image=9))
    kinds = dataset.current_plan.kind
    assert (kinds == ChipKind.NEGATIVE).sum() == 7
    for n in range(len(dataset)):
        assert tuple(dataset[n]['inputs'].shape) == (3, 128, 128)


def test_an_object_inside_a_negative_chip_is_labelled_there(make, save_pool):
    dataset = make(save_pool(per_image=9))
    plan = dataset.current_plan
    keys = [plan.key(n) for n in np.flatnonzero((plan.image_idx == 0) & (plan.kind == ChipKind.NEGATIVE))]
    truth = {key.bbox: dataset[key]['data_samples'].gt_instances for key in keys}
    assert len(truth) == 4
    # In range and whole: it teaches, as in a positive chip.
    small = truth[0, 0, 64, 64]
    assert small.valid.tolist() == [True]
    assert small.bboxes.tensor.tolist() == [[40, 40, 80, 80]]
    assert truth[100, 40, 228, 168].valid.tolist() == [True]
    # Out of the range of the chip's scale, or cut: there, but not valid. Never background.
    assert truth[150, 70, 214, 134].valid.tolist() == [False]
    assert truth[240, 160, 304, 224].valid.tolist() == []


def test_what_there_is_to_draw_is_said_once(make, save_pool, messages):
    dataset = make(save_pool())
    dataset.plan(0), dataset.plan(1)
    said = [line for line in messages() if 'egative' in line]
    assert len(said) == 2
    assert 'has 2.33 negative chips per image, 1 images have none; up to 2 are drawn' in said[0]
    assert '1.33 of them negative' in said[1]


def test_images_missing_from_the_file_are_counted_once(make, save_pool, messages):
    dataset = make(save_pool({key: CHIPS[key] for key in ('images/0.png', 'images/2.png')}))
    assert sum('1 of 3 images are not in' in line and 'mine again' in line for line in messages()) == 1
    assert negative_boxes(dataset.plan(0), 1) == []
    assert len(negative_boxes(dataset.plan(0), 0)) == 2


def test_without_negatives_there_are_none(make, messages):
    plan = make(None).current_plan
    assert not any('negative' in line for line in messages())
    assert set(plan.kind.tolist()) == {ChipKind.POSITIVE, ChipKind.RANDOM}


def test_wrapped_data_sets_find_their_images(write_coco, planner_cfg, pipeline, save_pool):
    repeated = dict(type='RepeatDataset', dataset=write_coco(IMAGES), times=2)
    dataset = ChipDataset(repeated, planner_cfg, pipeline, negatives=save_pool())
    assert len(negative_boxes(dataset.plan(0), 0)) == len(negative_boxes(dataset.plan(0), 3)) == 2


def test_images_of_one_key_are_refused(write_coco, planner_cfg, pipeline, save_pool):
    both = dict(type='ConcatDataset', datasets=[write_coco(IMAGES, 'one'), write_coco(IMAGES, 'two')])
    with pytest.raises(ValueError, match="same key 'images/0.png'.*one/images/0.png and .*two/images/0.png"):
        ChipDataset(both, planner_cfg, pipeline, negatives=save_pool())


def test_another_planner_is_refused_with_both_sides(make, save_pool):
    with pytest.raises(ValueError, match=r'mined with scales=\[3\.0, .*planner has scales=\[2\.0, .*mine again'):
        make(save_pool(scales=[3.0, 1.0, (128, 128)]))
    assert make(save_pool(stride=8)).negatives is not None


def test_another_data_set_is_refused_with_both_sides(make, save_pool):
    sizes = {f'other/{i}.png': (320, 240) for i in range(5)}
    chips = {key: ([], []) for key in sizes}
    chips['images/0.png'], sizes['images/0.png'] = CHIPS['images/0.png'], (320, 240)
    match = (
        r"another data set: it lacks 2 of the 3 images, such as 'images/1.png'; it has 6 images, such as 'images/0.png'"
    )
    with pytest.raises(ValueError, match=match):
        make(save_pool(chips, sizes))
    with pytest.raises(ValueError, match='it has 0 images, none'):
        make(save_pool({}, {}))


def test_an_image_of_another_size_is_refused_with_both_sides(make, save_pool):
    with pytest.raises(ValueError, match="its image 'images/1.png' has 210 x 150 pixels, the annotation .* 200 x 150"):
        make(save_pool(sizes={**SIZES, 'images/1.png': (210, 150)}))


def test_bad_arguments(make, save_pool, tmp_path):
    for per_image in (0, True, 1.5):
        with pytest.raises(ValueError, match='per_image must be a whole number >= 1'):
            make(save_pool(per_image=per_image))
    with pytest.raises(TypeError, match='per_imag'):
        make(dict(ann_file='x', per_imag=2))
    with pytest.raises(FileNotFoundError, match=r'none\.npz does not exist: mine it'):
        make(dict(ann_file=str(tmp_path / 'none.npz')))
