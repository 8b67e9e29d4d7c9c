"""Every number against the chips themselves, cut and labelled one by one."""

import json

import numpy as np
import pytest

from mmsniper.chips import ChipKind, ChipPlanner, NegativePool, box_sizes
from mmsniper.datasets import ChipDataset
from mmsniper.report import report_numbers


@pytest.fixture
def dataset(write_coco, some_images, planner_cfg, pipeline):
    return ChipDataset(write_coco(some_images), planner_cfg, pipeline)


@pytest.fixture
def numbers(dataset):
    return report_numbers(dataset, dataset.plan(0), divisor=32, config='small', epoch=0, seed=0, mixed=False)


def test_they_are_plain(numbers):
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers['about']['config'] == 'small'
    assert numbers['findings'] == []


def test_joined_data_sets_may_differ_in_their_palettes(write_coco, some_images, planner_cfg, pipeline):
    one, two = (write_coco(some_images[:2], name) for name in 'ab')
    two['metainfo'] = dict(two['metainfo'], palette=[(1, 2, 3), (4, 5, 6)])
    both = ChipDataset(dict(type='ConcatDataset', datasets=[one, two]), planner_cfg, pipeline)
    assert isinstance(both.metainfo, list)
    assert report_numbers(both, both.plan(0), divisor=32, mixed=False)['about']['classes'] == len(both.classes) == 2


def test_the_data(numbers):
    expected = dict(images=4, without_objects=1, objects=13, ignored_regions=1, under_2px=0, larger_than_a_chip=0)
    assert {key: numbers['data'][key] for key in expected} == expected
    assert numbers['data']['smallest_image'] == [150, 100]
    assert numbers['data']['largest_image'] == [320, 240]


def test_chips_by_scale_and_kind(dataset, numbers):
    plan = dataset.plan(0)
    assert numbers['chips']['total'] == len(plan) == sum(scale['chips'] for scale in numbers['scales'])
    assert numbers['chips']['kinds'] == dict(positive=len(plan) - 1, negative=0, random=1)
    per_image = np.bincount(plan.image_idx)
    assert numbers['chips']['most'] == per_image.max()
    assert numbers['most_chips'][0]['chips'] == per_image.max()
    assert [scale['name'] for scale in numbers['scales']] == ['2', '1', '128 x 128']
    assert [scale['range'] for scale in numbers['scales']] == [[0, 40], [30, 90], [70, None]]
    for s, scale in enumerate(numbers['scales']):
        mine = plan.image_idx[plan.chips.scale_idx == s]
        counts = np.bincount(np.bincount(mine, minlength=4))
        first = np.flatnonzero(counts)[0]
        assert scale['images'] == dict(
            labels=[str(n) for n in range(first, len(counts))], counts=counts[first:].tolist()
        )


def test_labels_are_those_of_the_chips(write_coco, some_images, planner_cfg, pipeline):
    pipeline[1]['with_mask'] = False
    dataset = ChipDataset(write_coco(some_images[:3]), planner_cfg, pipeline)  # no crowds: those are not counted
    plan = dataset.plan(0)
    numbers = report_numbers(dataset, plan)
    kinds = dict(valid=0, invalid=0, ignored=0)
    sizes, per_chip = [], []
    for n in range(len(plan)):
        sample = dataset[plan.key(n)]['data_samples']
        valid = sample.gt_instances.valid.numpy()
        kinds['valid'] += valid.sum()
        kinds['invalid'] += (~valid).sum()
        kinds['ignored'] += len(sample.ignored_instances)
        per_chip.append(valid.sum())
        boxes = sample.gt_instances.bboxes.tensor.numpy()[valid]
        whole = (boxes[:, :2] > 0).all(1) & (boxes[:, 2:] < 128).all(1)
        sizes += box_sizes(boxes[whole]).tolist()
    shown = sum(kinds.values())
    assert numbers['labels']['shown'] == shown
    assert {kind: numbers['labels'][kind] for kind in kinds} == {kind: n / shown for kind, n in kinds.items()}
    assert kinds['valid'] > 10
    assert numbers['objects_per_chip']['valid_mean'] == np.mean(per_chip)
    assert numbers['objects_per_chip']['without_valid'] == per_chip.count(0)
    total = sum(map(sum, numbers['sizes']['after']))
    assert total == kinds['valid'] == round(numbers['times_valid']['mean'] * 10)
    on_chips = numbers['sizes']['on_chips']
    assert on_chips['p5'] <= np.median(sizes) <= on_chips['p95']


def test_pixels_are_counted_with_their_padding(dataset, numbers):
    mine, single, several, plain, snip = numbers['pixels']
    assert mine['samples_per_image'] == len(dataset.plan(0)) / 4
    assert mine['pixels_per_image'] == mine['samples_per_image'] * 128**2
    # 320 x 240 -> 1067 x 800, 200 x 300 -> 800 x 1200, 150 x 100 -> 1200 x 800, 300 x 200 likewise.
    assert single['pixels_per_image'] == (1088 * 800 + 3 * 800 * 1216) / 4
    assert single['of_single_scale'] == 1
    assert 0.75 < several['of_single_scale'] < 0.9
    assert plain['pixels_per_image'] == (320 * 256 + 224 * 320 + 160 * 128 + 320 * 224) / 4
    assert snip['samples_per_image'] == 3
    assert snip['pixels_per_image'] > 4 * plain['pixels_per_image']
    assert mine['of_single_scale'] == pytest.approx(mine['pixels_per_image'] / single['pixels_per_image'])


def test_sizes_before_are_those_of_one_scale(numbers):
    sizes = numbers['sizes']
    assert sum(sizes['before']) == 13
    zoom = sizes['single_scale']['median'] / sizes['in_image']['median']
    assert 800 / 240 - 0.01 < zoom < 4.01
    assert len(sizes['edges']) == len(sizes['before']) + 1 == len(sizes['after'][0]) + 1


def test_every_object_is_valid_once(numbers):
    times = numbers['times_valid']
    assert times['shares'][0] == 0
    assert sum(times['counts']) == 13
    assert np.sum(times['by_size']['counts']) == 13
    assert (times['never_thin'], times['never_large']) == (0, 0)


def test_what_is_never_valid_is_a_problem_with_a_line_to_write(write_coco, pipeline):
    thin, large, good = dict(bbox=[10, 10, 1.5, 30]), dict(bbox=[5, 5, 380, 290]), dict(bbox=[50, 50, 20, 20])
    dataset = ChipDataset(
        write_coco([(400, 300, [thin, large, good])]),
        dict(scales=[2.0, 1.0], valid_ranges=[(None, 60), (40, None)], chip_size=128, stride=16),
        pipeline,
    )
    numbers = report_numbers(dataset, dataset.plan(0))
    times = numbers['times_valid']
    assert (times['never_thin'], times['never_large']) == (1, 1)
    assert times['shares'][0] == pytest.approx(2 / 3)
    problems = {finding['what']: finding['line'] for finding in numbers['findings'] if finding['level'] == 'problem'}
    coarser = problems.pop('1 object of 3 larger than a chip at every scale, 1 of them never valid')
    assert problems == {'1 object of 3 never valid, with a side under 2 px': '"iscrowd": 1'}
    settings = eval(coarser.removeprefix('planner='), dict(dict=dict))  # the line is one that a config may have
    dataset.planner = ChipPlanner(**settings)
    assert dataset.table.count_unlearnt(dataset.planner) == (1, 0)


def test_negative_chips(write_coco, some_images, planner_cfg, pipeline, tmp_path):
    planner = ChipPlanner(**planner_cfg)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 200, (300, 2))
    proposals = np.concatenate([corner, corner + 20], 1)
    chips = planner.negative(proposals, (320, 240), planner.positive(np.zeros((0, 4)), (320, 240)), 1)
    assert len(chips) > 1
    images = [('images/0.png', (320, 240), chips.bboxes, chips.scale_idx), ('images/1.png', (200, 300), [], [])]
    NegativePool.build(planner, 1, images).save(tmp_path / 'pool.npz')
    data = write_coco(some_images[:3])
    dataset = ChipDataset(data, planner_cfg, pipeline, negatives=dict(ann_file=str(tmp_path / 'pool.npz'), per_image=1))
    plan = dataset.plan(0)
    numbers = report_numbers(dataset, plan)
    negatives = numbers['negatives']
    assert negatives['in_pool'] == len(chips)
    assert negatives['images_without'] == 2
    assert negatives['images_not_mined'] == 1
    assert negatives['drawn'] == (plan.kind == ChipKind.NEGATIVE).sum() == 1
    assert [finding['what'] for finding in numbers['findings']] == ['1 image of 3 not in pool.npz']
