"""Real images with real annotations; skipped where there are none.

MMSNIPER_TEST_DATA names a folder with coco_dev/ and bccd/, each annotations.json and images/.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset

from mmsniper.chips import ChipPlanner
from mmsniper.datasets import ChipDataset

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get('MMSNIPER_TEST_DATA', ROOT.parent / 'shared' / 'data'))
RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])

pytestmark = pytest.mark.skipif(not (DATA / 'coco_dev').exists(), reason='no real data; set MMSNIPER_TEST_DATA')


def dataset_cfg(name, classes):
    return dict(
        type='CocoDataset',
        data_root=f'{DATA / name}/',
        ann_file='annotations.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=classes),
    )


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('planner_benchmark', ROOT / 'benchmarks' / 'planner.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_object_of_coco_is_lost_and_chips_are_as_few_as_plain_greedy_finds(benchmark):
    images = benchmark.read_coco(DATA / 'coco_dev' / 'annotations.json')
    planner = ChipPlanner(**RECIPE)
    plans = [planner.positive(boxes, (width, height)) for boxes, width, height in images]
    assert benchmark.lost_objects(planner, images, plans) == 0
    ours = sum(np.bincount(chips.scale_idx, minlength=3) for chips in plans)
    plain = sum(np.array([len(chips) for chips in benchmark.plain_plan(*image)]) for image in images)
    assert np.abs(ours / plain - 1).max() <= 0.03


def test_coco_chips_carry_boxes_masks_and_crowds(pipeline):
    dataset = ChipDataset(dataset_cfg('coco_dev', CocoDataset.METAINFO['classes']), RECIPE, pipeline)
    assert dataset.n_crowd == 6
    crowds = valid = 0
    for n in range(0, len(dataset), 4):
        sample = dataset[n]['data_samples']
        assert len(sample.gt_instances.masks) == len(sample.gt_instances.bboxes)
        drawn = sample.gt_instances.masks.to_ndarray()
        for mask, (x1, y1, x2, y2) in zip(drawn, sample.gt_instances.bboxes.tensor.tolist(), strict=True):
            rows, columns = np.nonzero(mask)
            if len(rows):  # a polygon lies inside its box, give or take the rounding of both
                assert columns.min() >= x1 - 3 and columns.max() + 1 <= x2 + 3
                assert rows.min() >= y1 - 3 and rows.max() + 1 <= y2 + 3
        crowds += len(sample.ignored_instances.bboxes)
        valid += int(sample.gt_instances.valid.sum())
    assert valid > 50
    assert crowds > 0


def test_broken_boxes_of_bccd_are_reported_once_and_change_nothing(pipeline, messages):
    pipeline[1]['with_mask'] = False
    dataset = ChipDataset(dataset_cfg('bccd', ('WBC', 'RBC', 'Platelets')), RECIPE, pipeline)
    said = '\n'.join(messages())
    assert said.count('2 annotations left out, a side under 1 px or no area (ids 3951, 4005)') == 1
    assert len(dataset.table.bboxes) == 4886
    assert dataset[0]['inputs'].shape == (3, 512, 512)
