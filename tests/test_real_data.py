"""Real images with real annotations; skipped where there are none.

MMSNIPER_TEST_DATA names a folder with coco_dev/ and bccd/, each annotations.json and images/, and coco_evalref/, which
has COCO's example results instead of images.
"""

import json
import os
from pathlib import Path

import numpy as np
import pixels
import planner as planner_benchmark
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmsniper.chips import ChipPlanner
from mmsniper.datasets import ChipDataset
from mmsniper.models.merging import from_view, merge
from mmsniper.models.views import View
from mmsniper.report import report_numbers

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


def test_no_object_of_coco_is_lost_and_chips_are_as_few_as_plain_greedy_finds():
    images = planner_benchmark.read_coco(DATA / 'coco_dev' / 'annotations.json')
    planner = ChipPlanner(**RECIPE)
    plans = [planner.positive(boxes, (width, height)) for boxes, width, height in images]
    assert planner_benchmark.lost_objects(planner, images, plans) == 0
    ours = sum(np.bincount(chips.scale_idx, minlength=3) for chips in plans)
    plain = sum(np.array([len(chips) for chips in planner_benchmark.plain_plan(*image)]) for image in images)
    assert np.abs(ours / plain - 1).max() <= 0.03


def test_coco_chips_carry_boxes_masks_and_crowds(pipeline):
    dataset = ChipDataset(dataset_cfg('coco_dev', CocoDataset.METAINFO['classes']), RECIPE, pipeline)
    assert dataset.n_regions == 6
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


def evaluated(coco, results, kind):
    """COCO's twelve figures."""
    evaluation = COCOeval(coco, coco.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


def as_seen(results, view, kind):
    """Results of one image in COCO's form as a detector's predictions in a view of the whole image at zoom 1."""
    if kind == 'segm':
        masks = np.stack([coco_mask.decode(result['segmentation']) for result in results])
        masks = torch.from_numpy(masks[..., ::-1].copy() if view.flip else masks).bool()
        found = InstanceData(bboxes=mask2bbox(masks), masks=masks)
    else:
        bboxes = torch.tensor([result['bbox'] for result in results])
        bboxes[:, 2:] += bboxes[:, :2]
        if view.flip:
            bboxes[:, [0, 2]] = view.shape[1] - bboxes[:, [2, 0]]
        found = InstanceData(bboxes=bboxes)
    found.scores = torch.tensor([result['score'] for result in results])
    found.labels = torch.tensor([result['category_id'] for result in results])
    return found


@pytest.mark.skipif(not (DATA / 'coco_evalref').exists(), reason='no results of COCO')
@pytest.mark.parametrize(('kind', 'known'), [('bbox', 0.505), ('segm', 0.320)])
def test_results_merged_with_themselves_keep_cocos_figures(kind, known):
    """The results overlap by up to 0.63 within a class, so a usual threshold would thin them out; at 0.7 NMS has
    nothing to do but to remove what the other views add, all of it. Some scores are equal, and mmcv's NMS returns
    equals in any order, COCO in the file's: so the scores are spread, in COCO's order, on which alone its figures rest.
    And boxes are written to 0.01 px, as the file has them: one IoU is as near a threshold as single precision goes.
    """
    coco = COCO(DATA / 'coco_evalref' / 'annotations.json')
    results = json.loads((DATA / 'coco_evalref' / f'instances_val2014_fake{kind}100_results.json').read_text())
    expected = evaluated(coco, results, kind)
    assert expected[0] == pytest.approx(known, abs=5e-4)
    results.sort(key=lambda result: (-result['score'], result['image_id']))
    results = [result | dict(score=1 - n / len(results)) for n, result in enumerate(results)]
    merged = []
    for image_id in sorted({result['image_id'] for result in results}):
        width, height = coco.imgs[image_id]['width'], coco.imgs[image_id]['height']
        here = [result for result in results if result['image_id'] == image_id]
        whole = View(0, 0, (0, 0, width, height), (height, width))
        views = [whole, whole, whole._replace(flip=True)]
        parts = [from_view(as_seen(here, view, kind), view, (width, height), (0.0, np.inf)) for view in views]
        found = merge(parts, (width, height), dict(type='nms', iou_threshold=0.7))
        assert len(found) == len(here), image_id
        for n, (x1, y1, x2, y2) in enumerate(found.bboxes.tolist()):
            result = dict(image_id=image_id, category_id=int(found.labels[n]), score=float(found.scores[n]))
            where = dict(bbox=[round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)])
            merged.append(result | (where if kind == 'bbox' else dict(segmentation=dict(found.masks[n]))))
    assert np.abs(evaluated(coco, merged, kind) - expected).max() < 1e-6


def test_pixels_are_what_the_readme_counts():
    """SNIPER costs little more than one scale, SNIP about three times as much as SNIPER."""
    data = pixels.coco_data(DATA / 'coco_dev/annotations.json')
    recipes = [pixels.RECIPES[name] for name in ('single scale, 800 x 1333', 'SNIP', 'SNIPER')]
    single, snip, sniper = (pixels.count(Config.fromfile(pixels.CONFIGS / recipe), data, 3)[1] for recipe in recipes)
    assert sniper <= 1.35 * single
    assert snip >= 2.5 * sniper


@pytest.mark.parametrize(
    ('name', 'classes', 'octaves'),
    [('coco_dev', CocoDataset.METAINFO['classes'], (4.7, 3.0)), ('bccd', ('WBC', 'RBC', 'Platelets'), (2.0, 1.4))],
)
def test_a_report_shows_every_object_in_fewer_octaves(pipeline, name, classes, octaves):
    pipeline[1]['with_mask'] = name == 'coco_dev'
    dataset = ChipDataset(dataset_cfg(name, classes), RECIPE, pipeline)
    numbers = report_numbers(dataset, dataset.plan(0))
    assert numbers['times_valid']['shares'][0] == 0
    sizes = numbers['sizes']
    assert [round(sizes[key]['octaves'], 1) for key in ('single_scale', 'on_chips')] == list(octaves)
    assert not [finding for finding in numbers['findings'] if finding['level'] == 'problem']
