"""What is detected in regions to be ignored is neither right nor wrong."""

import json

import pytest
import torch
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from pycocotools import mask as coco_mask

from mmsniper.evaluation import CocoMetric

CLASSES = ('person', 'car')
META = dict(classes=CLASSES, ignored_categories=('DontCare',))
PERSON, CAR, REGION = (10, 10, 40, 40), (60, 60, 90, 90), (100, 0, 160, 60)  # xyxy


def annotation(n, category_id, xyxy, **more):
    x1, y1, x2, y2 = xyxy
    area = (x2 - x1) * (y2 - y1)
    return dict(
        id=n, image_id=7, category_id=category_id, bbox=[x1, y1, x2 - x1, y2 - y1], area=area, iscrowd=0, **more
    )


@pytest.fixture
def figures(tmp_path):
    """COCO's figures of detections (label, xyxy, score) by a metric, categories numbered from 0 as HIT-UAV's."""

    def evaluate(found, metric=CocoMetric, extra=(), masks=False):
        square = [[10, 10, 40, 10, 40, 40, 10, 40]] if masks else None
        content = dict(
            images=[dict(id=7, file_name='7.jpg', width=200, height=100)],
            annotations=[
                annotation(1, 0, PERSON, segmentation=square),
                annotation(2, 1, CAR, segmentation=[[60, 60, 90, 60, 90, 90, 60, 90]] if masks else None),
                annotation(3, 2, REGION),  # as HIT-UAV, without segmentation
                *extra,
            ],
            categories=[dict(id=n, name=name) for n, name in enumerate((*CLASSES, 'DontCare'))],
        )
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        metric = metric(str(tmp_path / 'ann.json'))
        metric.dataset_meta = META
        labels, boxes, scores = zip(*found, strict=True)
        instances = dict(bboxes=torch.tensor(boxes).float(), scores=torch.tensor(scores), labels=torch.tensor(labels))
        if masks:
            drawn = [[[[x1, y1, x2, y1, x2, y2, x1, y2]], 100, 200] for x1, y1, x2, y2 in boxes]
            instances['masks'] = [coco_mask.frPyObjects(*one)[0] for one in drawn]
        metric.process({}, [dict(pred_instances=instances, img_id=7, ori_shape=(100, 200))])
        return metric.evaluate(1)

    return evaluate


RIGHT = [(0, PERSON, 0.5), (1, CAR, 0.5)]
INSIDE = [(0, (110, 10, 130, 30), 0.9), (1, (105, 5, 155, 55), 0.9), (1, REGION, 0.8), (0, (100, 0, 120, 20), 0.7)]


@pytest.mark.smoke
def test_detections_in_a_region_are_not_wrong_of_any_class(figures):
    """mmdet's CocoMetric has them as wrong, with more confidence than what is right."""
    assert figures(RIGHT)['coco/bbox_mAP'] == 1.0
    assert figures(RIGHT + INSIDE)['coco/bbox_mAP'] == 1.0
    assert figures(RIGHT + INSIDE, MMDetCocoMetric)['coco/bbox_mAP'] == pytest.approx(1 / 3, abs=1e-3)


def test_nor_are_they_right(figures):
    assert figures(INSIDE)['coco/bbox_mAP'] == 0.0
    assert figures([*INSIDE, RIGHT[0]])['coco/bbox_mAP'] == 0.5  # of two classes


def test_beside_the_region_is_wrong(figures):
    """Six tenths of the detection lie inside: ignored at IoU thresholds up to .6, wrong at the seven others."""
    over = [(0, (136, 0, 176, 40), 0.9)]
    assert figures(RIGHT + over)['coco/bbox_mAP_50'] == 1.0
    assert figures(RIGHT + over)['coco/bbox_mAP_75'] == 0.75
    assert figures(RIGHT + over)['coco/bbox_mAP'] == pytest.approx((3 * 1.0 + 7 * 0.75) / 10, abs=1e-3)


def test_an_object_in_the_region_counts(figures):
    inner = annotation(4, 0, (110, 10, 130, 30))
    assert figures(RIGHT, extra=[inner])['coco/bbox_mAP'] < 0.8  # missed
    assert figures([*RIGHT, (0, (110, 10, 130, 30), 0.9)], extra=[inner])['coco/bbox_mAP'] == 1.0


def test_masks_of_regions_are_their_boxes(figures):
    found = figures(RIGHT + INSIDE, masks=True, metric=lambda path: CocoMetric(path, metric=['bbox', 'segm']))
    assert found['coco/segm_mAP'] == found['coco/bbox_mAP'] == 1.0


def test_proposals_are_not_asked_to_find_regions(figures):
    found = figures(RIGHT, lambda path: CocoMetric(path, metric='proposal'))
    assert found['coco/AR@100'] == 1.0


def test_annotations_may_be_numbered_from_0(figures):
    """COCO's evaluation counts what matches number 0 as wrong."""
    inner = annotation(0, 0, (110, 10, 130, 30))
    found = [*RIGHT, (0, (110, 10, 130, 30), 0.9)]
    assert figures(found, MMDetCocoMetric, [inner])['coco/bbox_mAP'] < 0.9
    assert figures(found, extra=[inner])['coco/bbox_mAP'] == 1.0


def test_results_are_written_without_annotations(tmp_path):
    """COCO's test-dev is such a file."""
    content = dict(
        images=[dict(id=7, file_name='7.jpg', width=200, height=100)], categories=[dict(id=0, name='person')]
    )
    (tmp_path / 'test-dev.json').write_text(json.dumps(content))
    metric = CocoMetric(str(tmp_path / 'test-dev.json'), format_only=True, outfile_prefix=str(tmp_path / 'found'))
    metric.dataset_meta = dict(classes=('person',))
    instances = dict(bboxes=torch.tensor([PERSON]), scores=torch.tensor([0.5]), labels=torch.tensor([0]))
    metric.process({}, [dict(pred_instances=instances, img_id=7, ori_shape=(100, 200))])
    assert metric.evaluate(1) == {}
    assert [one['bbox'] for one in json.loads((tmp_path / 'found.bbox.json').read_text())] == [[10, 10, 30, 30]]


def test_without_ignored_categories_it_is_mmdets(figures, monkeypatch):
    monkeypatch.delitem(META, 'ignored_categories')
    assert figures(RIGHT + INSIDE) == figures(RIGHT + INSIDE, MMDetCocoMetric)


@pytest.mark.parametrize(
    ('ignored', 'message'),
    [
        (('dontcare',), r"no category 'dontcare'.*is it 'DontCare'\?"),
        (('car',), 'metainfo has car in classes and in ignored_categories'),
        ('DontCare', r"one name needs a comma: \('DontCare',\)"),
    ],
    ids=str,
)
def test_wrong_names_are_refused(ignored, message, figures, monkeypatch):
    monkeypatch.setitem(META, 'ignored_categories', ignored)
    with pytest.raises(ValueError, match=message):
        figures(RIGHT)
