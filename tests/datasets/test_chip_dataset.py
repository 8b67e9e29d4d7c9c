from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import Compose

from mmsniper.datasets import ChipDataset
from mmsniper.registry import DATASETS


@pytest.fixture
def chip_dataset(write_coco, some_images, planner_cfg, pipeline):
    return ChipDataset(write_coco(some_images), planner_cfg, pipeline)


def test_samples_are_chips_of_one_shape(chip_dataset):
    assert len(chip_dataset) > 6
    for n in range(len(chip_dataset)):
        packed = chip_dataset[n]
        assert tuple(packed['inputs'].shape) == (3, 128, 128)
        sample, key = packed['data_samples'], chip_dataset.current_plan.key(n)
        assert sample.chip == key.bbox
        assert (sample.scale_idx, sample.chip_scale) == (key.scale_idx, key.scale)


def test_every_object_is_valid_in_some_chip(chip_dataset, some_images):
    valid = sum(int(chip_dataset[n]['data_samples'].gt_instances.valid.sum()) for n in range(len(chip_dataset)))
    assert valid >= sum(not a.get('iscrowd') for *_, annotations in some_images for a in annotations)


def test_best_chip_makes_an_object_valid_once_per_scale(write_coco, planner_cfg, pipeline):
    """A crowd before the objects: they are counted without it, and with one that is ignored for lack of a polygon."""
    crowd = dict(bbox=[0, 0, 30, 30], iscrowd=1, segmentation={'counts': [0, 300 * 300], 'size': [300, 300]})
    objects = [dict(bbox=[x, y, 22, 22]) for x in range(10, 250, 40) for y in range(10, 250, 40)]
    no_polygon = dict(bbox=[260, 260, 20, 20], segmentation=[[1, 2, 3, 4]])
    data = write_coco([(300, 300, [crowd, no_polygon, *objects]), (300, 300, [dict(bbox=[100, 100, 20, 20])])])
    times = {}
    for assign in ('every_chip', 'best_chip'):
        dataset = ChipDataset(data, planner_cfg, pipeline, assign=assign)
        seen = Counter()
        for n in range(len(dataset)):
            sample = dataset[n]['data_samples']
            x1, y1, *_ = sample.chip
            for box, valid in zip(
                sample.gt_instances.bboxes.tensor / sample.chip_scale, sample.gt_instances.valid, strict=True
            ):
                middle = ((box[0] + box[2]) / 2 + x1, (box[1] + box[3]) / 2 + y1)
                cell = tuple(int(at) // 40 for at in middle)
                seen[sample.img_id, sample.scale_idx, cell] += int(valid)
        times[assign] = [count for count in seen.values() if count]
    assert len(times['best_chip']) == len(times['every_chip'])
    assert max(times['every_chip']) > 1
    assert set(times['best_chip']) == {1}


def test_images_without_objects_are_background(write_coco, planner_cfg, pipeline):
    dataset = write_coco([(150, 100, []), (150, 100, []), (150, 100, [dict(bbox=[5, 5, 20, 20])])])
    packed = ChipDataset(dataset, planner_cfg, pipeline, empty_chips=3)
    assert len(packed) == 7
    assert [len(packed[n]['data_samples'].gt_instances.bboxes) for n in range(7)] == [0] * 6 + [1]
    assert len(ChipDataset(dataset, planner_cfg, pipeline, empty_chips=0)) == 1


def test_it_builds_from_a_config_by_its_scoped_name(write_coco, some_images, planner_cfg, pipeline):
    from mmdet.registry import DATASETS as MMDET_DATASETS

    cfg = dict(type='mmsniper.ChipDataset', dataset=write_coco(some_images), planner=planner_cfg, pipeline=pipeline)
    assert isinstance(MMDET_DATASETS.build(cfg), DATASETS.get('ChipDataset'))


def test_wrappers_inside_keep_working(write_coco, some_images, planner_cfg, pipeline):
    one, two = write_coco(some_images, 'one'), write_coco(some_images[:1], 'two')
    alone = ChipDataset(one, planner_cfg, pipeline)
    repeated = ChipDataset(dict(type='RepeatDataset', dataset=one, times=2), planner_cfg, pipeline)
    assert len(repeated.table) == 2 * len(alone.table)
    assert repeated[len(repeated) - 1]['inputs'].shape == (3, 128, 128)
    joined = ChipDataset(dict(type='ConcatDataset', datasets=[one, two]), planner_cfg, pipeline)
    assert len(joined.table) == 5
    assert 'two' in joined[len(joined) - 1]['data_samples'].img_path
    balanced = ChipDataset(dict(type='ClassBalancedDataset', dataset=one, oversample_thr=0.9), planner_cfg, pipeline)
    assert len(balanced.table) >= 4
    assert balanced.metainfo['classes'] == ('thing', 'other')


@pytest.mark.parametrize(
    'augment',
    [
        [dict(type='RandomFlip', prob=1.0)],
        [dict(type='PhotoMetricDistortion')],
        [dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical', 'diagonal'])],
        [dict(type='RandomCrop', crop_size=(100, 100), allow_negative_crop=True), dict(type='Pad', size=(128, 128))],
        [dict(type='FilterAnnotations', min_gt_bbox_wh=(10, 10), keep_empty=False)],
        [dict(type='RandomAffine', max_rotate_degree=10, scaling_ratio_range=(1, 1), max_shear_degree=0)],
        [dict(type='RandomErasing', n_patches=2, ratio=0.2)],
    ],
    ids=lambda steps: steps[0]['type'],
)
def test_augmentations_behind_the_chip_keep_flags_in_step(write_coco, some_images, planner_cfg, augment):
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='mmsniper.ChipSampler'),
        *augment,
        dict(type='mmsniper.PackChipInputs'),
    ]
    classes = tuple('abcdefgh')
    for _, _, annotations in some_images:
        for i, annotation in enumerate(annotations):
            annotation['category_id'] = 3 + i
    cfg = write_coco(some_images, classes=classes)
    dataset = ChipDataset(cfg, planner_cfg, steps)
    plain = ChipDataset(cfg, planner_cfg, [*steps[:3], steps[-1]])
    for n in range(len(dataset)):
        packed = dataset[n]
        truth = packed['data_samples'].gt_instances
        assert len(truth.valid) == len(truth.bboxes) == len(truth.labels)
        # Each image's objects have labels of their own, so flags that change places would show.
        whole = ChipDataset.__getitem__(plain, dataset.current_plan.key(n))['data_samples'].gt_instances
        flags = dict(zip(whole.labels.tolist(), whole.valid.tolist(), strict=True))
        assert all(
            flags[label] == valid for label, valid in zip(truth.labels.tolist(), truth.valid.tolist(), strict=True)
        )
        assert tuple(packed['inputs'].shape[1:]) == (128, 128)


def test_augmentation_depends_on_the_key_alone(write_coco, some_images, planner_cfg, pipeline):
    pipeline.insert(3, dict(type='PhotoMetricDistortion'))
    dataset = ChipDataset(write_coco(some_images), planner_cfg, pipeline)
    key, other = dataset.current_plan.key(0), dataset.plan(1).key(0)
    np.random.seed(1)
    first = dataset[key]['inputs']
    before = np.random.get_state()[1].copy()
    np.random.seed(2)
    assert (dataset[key]['inputs'] == first).all()
    np.random.seed(1)
    dataset[key]
    assert (np.random.get_state()[1] == before).all()
    assert (dataset[key._replace(seed=other.seed)]['inputs'] != first).any()


def test_a_second_planner_is_refused(write_coco, some_images, planner_cfg, pipeline):
    pipeline[2]['planner'] = {**planner_cfg, 'chip_size': 64}
    with pytest.raises(RuntimeError, match="where the data set's counts"):
        ChipDataset(write_coco(some_images), planner_cfg, pipeline)[0]


def test_the_planner_reaches_nested_transforms(write_coco, some_images, planner_cfg, pipeline):
    pipeline[2] = dict(type='RandomApply', transforms=[pipeline[2]], prob=1.0)
    assert ChipDataset(write_coco(some_images), planner_cfg, pipeline)[0]['inputs'].shape == (3, 128, 128)


def test_every_planned_object_is_valid_in_its_chip_on_the_borders_of_touching_ranges(write_coco, pipeline):
    planner = dict(scales=[2.0, (128, 128)], valid_ranges=[(None, 40), (40, None)], chip_size=128, stride=16)
    corners = np.random.default_rng(0).uniform(0, [260, 160], (60, 2)).round(2)
    images = [(300, 200, [dict(bbox=[*corner, 40, 40])]) for corner in corners.tolist()]
    dataset = ChipDataset(write_coco(images), planner, pipeline)
    taught = {}
    for n in range(len(dataset)):
        sample = dataset[n]['data_samples']
        taught[sample.img_id] = taught.get(sample.img_id, False) or bool(sample.gt_instances.valid.any())
    assert len(taught) == 60
    assert all(taught.values())


def test_training_by_number_is_noticed(chip_dataset, messages):
    for _ in range(3):
        for n in range(len(chip_dataset)):
            chip_dataset[n]
    assert sum('every epoch has the same ones; set train_dataloader.sampler' in line for line in messages()) == 1


def test_what_is_learnt_and_left_out_is_said_once(write_coco, planner_cfg, pipeline, messages):
    images = [
        (200, 200, [dict(bbox=[5, 5, 20, 20]), dict(bbox=[50, 50, 0, 0]), dict(bbox=[9, 9, 1.5, 30])]),
        (200, 200, [dict(bbox=[5, 5, 20, 20], category_id=5), dict(bbox=[300, 300, 20, 20])]),
    ]
    cfg = write_coco(images, classes=('thing', 'other', 'third'))
    dataset = ChipDataset({**cfg, 'metainfo': dict(classes=('thing', 'other'))}, planner_cfg, pipeline)
    for n in range(len(dataset)):
        dataset[n]
    text = messages()
    for part in (
        '2 images (1 without objects), 2 objects, 0 ignored',
        '1 annotations left out, a side under 1 px or no area (ids 2)',
        "1 annotations left out, their category is not in the data set's classes (ids 4)",
        '1 annotations left out, the box lies outside its image (ids 5)',
        '1 objects have a side under 2 px',
    ):
        assert sum(part in line for line in text) == 1, (part, text)


def test_filtered_images_are_reported(write_coco, some_images, planner_cfg, pipeline, messages):
    ChipDataset(
        dict(write_coco(some_images), filter_cfg=dict(filter_empty_gt=True, min_size=32)), planner_cfg, pipeline
    )
    assert any('1 images left out by filter_cfg or indices' in line for line in messages())


def test_objects_larger_than_any_chip_are_reported_with_the_remedy(write_coco, pipeline, messages):
    planner = dict(scales=[1.0], valid_ranges=[(None, None)], chip_size=128, stride=16)
    ChipDataset(write_coco([(400, 400, [dict(bbox=[5, 5, 300, 300])])]), planner, pipeline, empty_chips=1).plan(0)
    assert any(
        '1 objects are larger than a chip' in m and 'add a coarser scale such as (128, 128)' in m for m in messages()
    )


@pytest.mark.parametrize('bbox', [[float('nan'), 1, 20, 20], [1, 1, float('inf'), 20]])
def test_broken_boxes_name_file_annotation_and_image(write_coco, planner_cfg, pipeline, bbox):
    cfg = write_coco([(200, 200, [dict(bbox=[5, 5, 20, 20])])])
    import json
    from pathlib import Path

    path = Path(cfg['data_root']) / 'annotations.json'
    content = json.loads(path.read_text())
    content['annotations'].append(dict(id=77, image_id=1, category_id=3, bbox=bbox, area=400, iscrowd=0))
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r'annotations\.json cannot.*\n- 1 annotations have a box.* \(id 77 of image 0\.png\)'
    ):
        ChipDataset(cfg, planner_cfg, pipeline)


def test_size_that_differs_from_the_file_names_both(write_coco, planner_cfg, pipeline):
    import cv2

    cfg = write_coco([(200, 150, [dict(bbox=[5, 5, 20, 20])])])
    cv2.imwrite(cfg['data_root'] + 'images/0.png', np.zeros((200, 150, 3), np.uint8))
    with pytest.raises(RuntimeError, match=r'0\.png.*the file is 150 x 200.*says 200 x 150'):
        ChipDataset(cfg, planner_cfg, pipeline)[0]


@pytest.mark.parametrize('content', [b'', b'not an image', None])
def test_unreadable_images_are_named(write_coco, planner_cfg, pipeline, content):
    from pathlib import Path

    cfg = write_coco([(200, 150, [dict(bbox=[5, 5, 20, 20])])])
    path = Path(cfg['data_root']) / 'images' / '0.png'
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r'images/0\.png: cannot be read as an image: .*; restore it'):
        ChipDataset(cfg, planner_cfg, pipeline)[0]


def test_a_transform_that_drops_samples_is_an_error(write_coco, planner_cfg, pipeline):
    pipeline.insert(2, dict(type='FilterAnnotations', min_gt_bbox_wh=(1000, 1000), keep_empty=True))
    dataset = ChipDataset(write_coco([(200, 150, [dict(bbox=[5, 5, 20, 20])])]), planner_cfg, pipeline)
    with pytest.raises(RuntimeError, match=r'0\.png.*a transform returned None'):
        dataset[0]


def test_a_data_set_without_any_object_names_its_classes(write_coco, planner_cfg, pipeline):
    cfg = write_coco([(200, 150, [dict(bbox=[5, 5, 20, 20])])])
    with pytest.raises(ValueError, match=r"none of the 1 images has an object of the classes \('other',\)"):
        ChipDataset(dict(cfg, metainfo=dict(classes=('other',))), planner_cfg, pipeline)


def test_bad_arguments(write_coco, planner_cfg, pipeline):
    cfg = write_coco([(200, 150, [dict(bbox=[5, 5, 20, 20])])])
    with pytest.raises(ValueError, match='empty_chips'):
        ChipDataset(cfg, planner_cfg, pipeline, empty_chips=-1)
    with pytest.raises(ValueError, match="assign is 'every_chip' or 'best_chip'; got 'best'"):
        ChipDataset(cfg, planner_cfg, pipeline, assign='best')
    with pytest.raises(TypeError, match='cannot wrap MultiImageMixDataset'):
        ChipDataset(
            dict(type='MultiImageMixDataset', dataset=dict(cfg, pipeline=[]), pipeline=[]), planner_cfg, pipeline
        )
    with pytest.raises(ValueError, match='CocoDataset has no image'):
        ChipDataset(dict(cfg, filter_cfg=dict(min_size=1000), serialize_data=False), planner_cfg, pipeline)


def test_browsing_tools_find_what_they_expect(chip_dataset):
    chip_dataset.full_init()
    assert chip_dataset.get_data_info(0)['img_path'].endswith('0.png')
    assert chip_dataset.get_data_info(chip_dataset.current_plan.key(0)) == chip_dataset.get_data_info(0)
    assert set(chip_dataset.get_cat_ids(0)) <= {0, 1}
    assert isinstance(chip_dataset.pipeline, Compose)


def test_snip_sees_whole_images_at_every_scale(write_coco, some_images, pipeline):
    """PyramidPlanner in ChipDataset's place for ChipPlanner; masks and boxes have the sample's own size."""
    planner = dict(
        type='PyramidPlanner', scales=[2.0, 1.0, (128, 128)], valid_ranges=[(None, 40), (30, 90), (70, None)]
    )
    dataset = ChipDataset(write_coco(some_images), planner, pipeline)
    assert len(dataset) == 3 * len(some_images)
    shapes = []
    for n in range(len(dataset)):
        packed = dataset[n]
        sample, shape = packed['data_samples'], tuple(packed['inputs'].shape[1:])
        shapes.append(shape[::-1])
        assert sample.img_shape == shape
        boxes = sample.gt_instances.bboxes.tensor
        assert (boxes <= boxes.new_tensor([*shape[::-1], *shape[::-1]])).all()
        masks = sample.gt_instances.masks
        assert (masks.height, masks.width) == shape
    assert shapes[:3] == [(640, 480), (320, 240), (128, 96)]
