"""Categories to be ignored are crowds in training, whatever their id, and with masks, too."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS

from mmsniper.datasets import ChipDataset

DATA = Path(os.environ.get('MMSNIPER_TEST_DATA', Path(__file__).parents[3] / 'shared' / 'data'))


@pytest.fixture
def data(write_coco):
    """Two objects, and a region to be ignored, which has no segmentation; categories are numbered 3, 4, 5."""
    objects = [dict(bbox=[20, 20, 40, 30]), dict(bbox=[150, 100, 50, 60], category_id=4)]
    region = dict(bbox=[200, 20, 80, 70], category_id=5, segmentation=[])
    dataset = write_coco([(320, 240, [*objects, region])], classes=('thing', 'other', 'DontCare'))
    return dict(dataset, metainfo=dict(classes=('thing', 'other'), ignored_categories=('DontCare',)))


@pytest.mark.parametrize('kind', ['CocoDataset', 'mmsniper.CheckedCocoDataset'])
def test_they_are_regions_and_no_objects(kind, data, planner_cfg, pipeline, messages):
    dataset = ChipDataset(dict(data, type=kind), planner_cfg, pipeline)
    assert dataset.n_regions == 1
    assert len(dataset.table.bboxes) == 2
    dataset.plan(0)
    assert any('2 objects, 1 ignored regions' in message for message in messages())
    assert not any('left out' in message for message in messages())
    seen = [dataset[n]['data_samples'] for n in range(len(dataset))]
    assert {int(label) for sample in seen for label in sample.gt_instances.labels} == {0, 1}
    regions = [sample for sample in seen if len(sample.ignored_instances.bboxes)]
    assert regions
    for sample in regions:  # at whatever zoom, and cut as it may be
        x1, y1, x2, y2 = sample.ignored_instances.bboxes.tensor[0].tolist()
        (rows, columns) = np.nonzero(sample.ignored_instances.masks.to_ndarray()[0])
        assert (columns.min(), rows.min()) == pytest.approx((x1, y1), abs=1.5)
        assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x2, y2), abs=1.5)


def test_without_the_option_they_are_background(data, planner_cfg, pipeline, messages):
    plain = ChipDataset(dict(data, metainfo=dict(classes=('thing', 'other'))), planner_cfg, pipeline)
    assert plain.n_regions == 0
    assert any("1 annotations left out, their category is not in the data set's classes" in one for one in messages())


def test_a_validation_set_reads_them_too(data):
    dataset = DATASETS.build(dict(data, type='mmsniper.CheckedCocoDataset', test_mode=True, pipeline=[]))
    flags = [instance['ignore_flag'] for instance in dataset.get_data_info(0)['instances']]
    assert flags == [0, 0, 1]
    assert dataset.metainfo['ignored_categories'] == ('DontCare',)


@pytest.mark.parametrize(
    ('ignored', 'message'),
    [
        (
            ('Dontcare',),
            r"no category 'Dontcare'.*is it 'DontCare'\?.*its categories are \('thing', 'other', 'DontCare'\)",
        ),
        (('thing', 'DontCare'), 'metainfo has thing in classes and in ignored_categories'),
        ('DontCare', 'one name needs a comma'),
    ],
    ids=str,
)
def test_wrong_names_are_refused(ignored, message, data, planner_cfg):
    data['metainfo']['ignored_categories'] = ignored
    with pytest.raises(ValueError, match=message):
        ChipDataset(data, planner_cfg)


def test_data_sets_that_cannot_are_refused(data, planner_cfg):
    built = DATASETS.build(dict(data, pipeline=[]))
    with pytest.raises(ValueError, match='CocoDataset has read its annotations without the ignored_categories'):
        ChipDataset(built, planner_cfg)


@pytest.mark.skipif(not (DATA / 'hituav').exists(), reason='no real data; set MMSNIPER_TEST_DATA')
@pytest.mark.parametrize(('split', 'regions'), [('train', 33), ('val', 6)])
def test_the_regions_of_hit_uav(split, regions, planner_cfg):
    names = [one['name'] for one in json.loads((DATA / f'hituav/{split}.json').read_text())['categories']]
    metainfo = dict(classes=tuple(names[:4]), ignored_categories=tuple(names[4:]))
    settings = dict(ann_file=f'{split}.json', data_prefix=dict(img=f'{split}/'), metainfo=metainfo)
    dataset = ChipDataset(dict(type='CocoDataset', data_root=f'{DATA}/hituav/', **settings), planner_cfg)
    assert names[4] == 'DontCare'
    assert dataset.n_regions == regions
