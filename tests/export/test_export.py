"""Exported chips are ChipDataset's chips, in files that pycocotools and plain mmdet read."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.models.task_modules import MaxIoUAssigner
from mmdet.registry import DATASETS as MMDET_DATASETS
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from test_real_data import DATA, dataset_cfg

from mmsniper.chips import ChipPlanner, NegativePool
from mmsniper.datasets import ChipDataset
from mmsniper.export import ExportSettings, cut_only, export_chips, left_out_transforms
from mmsniper.export.summary import mmdet_config

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
SEEN = 'chips have the size that they are to be seen at'
SQUARE = [20.0, 20.0, 60.0, 60.0]


def plain(folder, pipeline=LOAD, **options):
    """What plain mmdet makes of an export."""
    prefix = dict(img='images/')
    cfg = dict(type='CocoDataset', data_root=f'{folder}/', ann_file='annotations.json', data_prefix=prefix, **options)
    return MMDET_DATASETS.build(dict(cfg, pipeline=pipeline))


def differences(folder, data, planner, pipeline):
    """How far exported boxes and, in a chip's mean, pixels are from ChipDataset's at most; numbers of chips and boxes.

    Every chip is read by pycocotools from the export, and cut anew by the pipeline that trains.
    """
    coco = COCO(folder / 'annotations.json')
    dataset = ChipDataset(data, planner, pipeline)
    label_of = {record['id']: n for n, record in enumerate(coco.dataset['categories'])}
    farthest, worst, n_boxes = 0.0, 0.0, 0
    assert len(coco.imgs) == len(dataset)
    for n, (image, packed) in enumerate(zip(coco.dataset['images'], dataset, strict=True)):
        sample = packed['data_samples']
        assert tuple(image['chip']) == tuple(sample.chip)
        assert image['source_id'] == sample.img_id
        pixels = cv2.imread(str(folder / 'images' / image['file_name'])).astype(int)
        worst = max(worst, np.abs(pixels - packed['inputs'].numpy().transpose(1, 2, 0)).mean())
        for valid, ignored, instances in (
            (1, 0, sample.gt_instances[sample.gt_instances.valid]),
            (0, 0, sample.gt_instances[~sample.gt_instances.valid]),
            (0, 1, sample.ignored_instances),
        ):
            found = [a for a in coco.imgToAnns[image['id']] if (a['valid'], a['ignored']) == (valid, ignored)]
            assert [label_of[a['category_id']] for a in found] == instances.labels.tolist(), n
            boxes = np.array([a['bbox'] for a in found]).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            expected = get_box_tensor(instances.bboxes).numpy()
            farthest = max(farthest, np.abs(boxes - expected).max(initial=0))
            n_boxes += len(boxes)
    return farthest, worst, len(coco.imgs), n_boxes


def test_chips_boxes_and_pixels_are_those_of_the_data_set(export, planner_cfg, pipeline):
    folder, summary, _ = export()
    farthest, worst, n_chips, n_boxes = differences(folder, export.data, planner_cfg, pipeline)
    assert farthest <= 0.001
    assert worst == 0
    counts = summary['counts']
    assert n_chips == counts['chips'] > 10
    assert n_boxes == counts['valid'] + counts['invalid'] + counts['ignored'] > 30
    assert min(counts['valid'], counts['invalid'], counts['ignored'], counts['random chips']) > 0
    assert counts['images'] == 4
    assert sum(counts[f'scale {n}'] for n in range(3)) == n_chips


@pytest.mark.skipif(not DATA.exists(), reason='no real data; set MMSNIPER_TEST_DATA')
@pytest.mark.parametrize('name', ['coco_dev', 'hituav'])
def test_real_chips_agree_to_half_a_pixel_and_evaluate(name, pipeline, tmp_path):
    data = dataset_cfg('coco_dev', CocoDataset.METAINFO['classes'])
    if name == 'hituav':
        classes = ('Person', 'Car', 'Bicycle', 'OtherVehicle', 'DontCare')
        data = dict(dataset_cfg(name, classes), ann_file='val.json', data_prefix=dict(img='val/'))
        pipeline[1] = LOAD[1]
    planner = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)], chip_size=512)
    data['indices'] = 20
    dataset = ChipDataset(data, planner, cut_only(pipeline))
    export_chips(dataset, tmp_path / 'out', ExportSettings(), workers=2)
    farthest, worst, n_chips, _ = differences(tmp_path / 'out', data, planner, pipeline)
    assert farthest <= 0.5
    assert worst < 6, 'JPEG'
    assert n_chips > 50
    coco = COCO(tmp_path / 'out/annotations.json')
    source = COCO(f'{data["data_root"]}{data["ann_file"]}')
    assert coco.cats == source.cats, 'ids with gaps, or from 0'
    for annotation in coco.anns.values():
        assert annotation['category_id'] == source.anns[annotation['source_id']]['category_id']
        coco.annToMask(annotation) if 'segmentation' in annotation else None


def test_plain_mmdet_trains_on_and_evaluates_the_export(export):
    folder, summary, _ = export()
    dataset = plain(folder, LOAD, metainfo=dict(classes=('thing', 'other')))
    assert len(dataset) == summary['counts']['chips'], 'chips without objects, too'
    kept = [instance for info in dataset for instance in info['gt_ignore_flags']]
    ignored = summary['counts']['ignored'] + summary['counts'].get('without a mask inside', 0)
    assert sum(kept) == ignored
    assert len(kept) - sum(kept) == summary['counts']['valid'] + summary['counts']['invalid']
    metric = CocoMetric(ann_file=str(folder / 'annotations.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = dataset.metainfo
    coco = COCO(folder / 'annotations.json')
    for info in (dataset.get_data_info(n) for n in range(len(dataset))):
        objects = [instance for instance in info['instances'] if not instance['ignore_flag']]
        annotations = [a for a in coco.imgToAnns[info['img_id']] if not a['iscrowd']]
        found = dict(
            bboxes=torch.tensor([instance['bbox'] for instance in objects]).reshape(-1, 4),
            labels=torch.tensor([instance['bbox_label'] for instance in objects], dtype=torch.long),
            scores=torch.ones(len(objects)),
            masks=[coco.annToRLE(annotation) for annotation in annotations],
        )
        metric.process({}, [dict(img_id=info['img_id'], ori_shape=(128, 128), pred_instances=found)])
    figures = metric.evaluate(len(dataset))
    assert figures['coco/bbox_mAP'] == figures['coco/segm_mAP'] == 1


def test_whole_images_at_every_scale_are_exported_too(export, tmp_path, pipeline):
    """SNIP's, for whose planner chips have any size."""
    planner = dict(type='PyramidPlanner', scales=[2.0, 1.0], valid_ranges=[(None, 80), (60, None)])
    dataset = ChipDataset(export.data, planner, cut_only(pipeline))
    summary = export_chips(dataset, tmp_path / 'snip', ExportSettings(image_format='png'))
    assert summary['counts']['chips'] == 8
    farthest, worst, n_chips, _ = differences(tmp_path / 'snip', export.data, planner, pipeline)
    assert (farthest <= 0.001, worst, n_chips) == (True, 0, 8)
    assert mmdet_config(tmp_path, ('thing',), dataset.planner).endswith('without Resize: ' + SEEN)


def test_masks_are_polygons_of_objects_and_codes_of_regions(export):
    folder, _, _ = export()
    coco = COCO(folder / 'annotations.json')
    for annotation in coco.anns.values():
        beside = coco.imgToAnns[annotation['image_id']]
        codes = annotation['iscrowd'] or any(a['ignored'] for a in beside)  # then all of the chip's are pixels
        assert isinstance(annotation['segmentation'], dict if codes else list)
        if annotation['ignored']:  # the crowd's code is larger than its box
            continue
        x, y, w, h = annotation['bbox']
        rows, columns = np.nonzero(coco.annToMask(annotation))
        assert columns.min() >= x - 1 and columns.max() <= x + w + 1
        assert rows.min() >= y - 1 and rows.max() <= y + h + 1
    polygons = [annotation['segmentation'] for annotation in coco.anns.values() if annotation['source_id'] == 78]
    assert any(len(parts) == 2 for parts in polygons)


@pytest.mark.parametrize(('invalid', 'crowds'), [('keep', 0), ('ignore', 1), ('drop', None)])
def test_invalid_objects_are_kept_ignored_or_left_out(export, invalid, crowds):
    folder, summary, _ = export(invalid=invalid, pipeline=[*LOAD, dict(type='mmsniper.ChipSampler')])
    annotations = json.loads((folder / 'annotations.json').read_text())['annotations']
    found = [a['iscrowd'] for a in annotations if not a['valid'] and not a['ignored']]
    assert found == ([] if crowds is None else [crowds] * summary['counts']['invalid'])
    assert sum(a['ignored'] for a in annotations) == summary['counts']['ignored'] > 0
    assert all(a['iscrowd'] for a in annotations if a['ignored'])
    assert 'segmentation' not in annotations[0]


@pytest.mark.parametrize(('options', 'label'), [({}, 0), (dict(ignore_iof_thr=0.5), -1)], ids=['default', 'set'])
def test_why_invalid_objects_are_kept(options, label):
    """By mmdet's defaults an anchor on an ignored object is background, even where it fits exactly."""
    valid, ignored = (InstanceData(bboxes=torch.tensor([box]), labels=torch.tensor([0])) for box in ([0.0] * 4, SQUARE))
    assigner = MaxIoUAssigner(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, **options)
    result = assigner.assign(InstanceData(priors=torch.tensor([SQUARE])), valid, ignored)
    assert result.gt_inds.tolist() == [label]


def test_without_padding_chips_are_as_large_as_what_they_show(export):
    folder, _, _ = export(padded=False)
    padded, _, _ = export('padded')
    records = zip(*(json.loads((f / 'annotations.json').read_text())['images'] for f in (folder, padded)), strict=True)
    smaller = 0
    for image, whole in records:
        width, height = image['content']
        assert (image['width'], image['height']) == (width, height)
        assert (whole['width'], whole['height'], whole['content']) == (128, 128, [width, height])
        shown, all_of_it = (cv2.imread(str(f / 'images' / image['file_name'])) for f in (folder, padded))
        assert (all_of_it[:height, :width] == shown).all()
        assert (all_of_it[height:] == (104, 116, 124)).all()
        smaller += height < 128 or width < 128
    assert smaller > 0
    assert len(plain(folder, LOAD)) > 0


def test_negative_chips_are_exported_and_named(export, planner_cfg, tmp_path):
    planner = ChipPlanner(**planner_cfg)
    proposals = np.array([[10, 10, 30, 30], [60, 60, 85, 80]], np.float32)
    chips = planner.negative(proposals, (150, 100), planner.positive([], (150, 100)), 1)
    pool = NegativePool.build(planner, 1, [('images/2.png', (150, 100), chips.bboxes.astype(int), chips.scale_idx)])
    pool.save(tmp_path / 'negatives.npz')
    data = dict(export.data, indices=[1, 2])
    folder, summary, dataset = export(data=data, chips=dict(negatives=dict(ann_file=str(tmp_path / 'negatives.npz'))))
    assert summary['counts']['negative chips'] == min(len(chips), 2) > 0
    images = json.loads((folder / 'annotations.json').read_text())['images']
    assert {image['source'] for image in images if image['kind'] == 'negative'} == {'2.png'}


def test_large_images_are_read_in_windows(export, pipeline):
    whole, _, _ = export()
    pipeline[0] = dict(type='mmsniper.OpenImage')
    windows, _, _ = export('windows', pipeline=pipeline)
    assert (whole / 'annotations.json').read_text() == (windows / 'annotations.json').read_text()


def test_augmentation_is_left_out_unless_it_is_asked_for(export, pipeline):
    pipeline.insert(3, dict(type='RandomFlip', prob=1.0))
    plain_chips, _, _ = export()
    content = json.loads((plain_chips / 'annotations.json').read_text())
    flipped, _, _ = export('flipped', pipeline=pipeline, augment=True)
    mirrored = json.loads((flipped / 'annotations.json').read_text())
    assert all('source_id' not in annotation for annotation in mirrored['annotations'])
    for one, other in zip(content['annotations'], mirrored['annotations'], strict=True):
        x, y, w, h = one['bbox']
        assert other['bbox'] == pytest.approx([128 - x - w, y, w, h], abs=0.002)
    chips = dict(type='mmsniper.ChipDataset', pipeline=pipeline)
    mixed = dict(type='MultiImageMixDataset', dataset=chips, pipeline=[dict(type='mmsniper.MixChips'), pipeline[-1]])
    assert left_out_transforms(mixed) == ['RandomFlip', 'MixChips']
    assert left_out_transforms(mixed, augment=True) == ['MixChips']
    with pytest.raises(ValueError, match="write dict\\(type='mmsniper.ChipSampler'\\) behind what loads"):
        cut_only(LOAD)
