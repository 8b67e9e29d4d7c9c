"""What MultiScaleChipTTA refuses, and what it warns of."""

import logging
import re

import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import pseudo_collate

from mmsniper.models import MultiScaleChipTTA

NMS = dict(type='nms', iou_threshold=0.5)
CFG = dict(scales=[2.0, 1.0, 0.5], ranges=[(None, 24), (16, 60), (40, None)], nms=NMS, max_canvas=200)
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
PACK = dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        (dict(scale=[1.0]), TypeError, r"no setting \['scale'\]; there are \['batch_pixels'"),
        (dict(scales=[2.0]), ValueError, '1 scales but 3 ranges'),
        (dict(scales=[]), ValueError, 'at least one scale'),
        (dict(scales=[2.0, 1.0, -0.5]), ValueError, r'scales\[2\] is -0.5'),
        (dict(ranges=[(None, 24), (16, 60), (70, None)]), ValueError, 'gap: .* from 60 to 70'),
        (dict(ranges=[(None, 24), (60, 16), (40, None)]), ValueError, r'ranges\[1\] is \(60, 16\)'),
        (dict(nms=dict(iou_threshold=0.5)), ValueError, 'nms needs a type'),
        (dict(nms=dict(type='soft_nms', sigma=-1)), ValueError, 'sigma must be positive'),
        (dict(flip='no'), ValueError, "tta_cfg: flip is True or False; got 'no'"),
        (dict(flip=1), ValueError, 'tta_cfg: flip is True or False; got 1'),
        (dict(score_thr='0.1'), ValueError, "tta_cfg: score_thr is a number; got '0.1'"),
        (dict(score_thr=True), ValueError, 'tta_cfg: score_thr is a number; got True'),
        (
            dict(max_per_img=2.5),
            ValueError,
            'max_per_img is None for 200 per tile, or a whole number >= -1, .*; got 2.5',
        ),
        (dict(max_per_img=-2), ValueError, 'tta_cfg: max_per_img is None .*or a whole number >= -1.*got -2'),
        (dict(max_per_img=True), ValueError, 'tta_cfg: max_per_img is None .*or a whole number >= -1.*got True'),
        (dict(max_canvas=0), ValueError, 'tta_cfg: max_canvas is None, or a whole number >= 1; got 0'),
        (dict(max_canvas=True), ValueError, 'tta_cfg: max_canvas is None, or a whole number >= 1; got True'),
        (dict(batch_pixels=1e6), ValueError, 'tta_cfg: batch_pixels is a whole number >= 1; got 1000000.0'),
        (dict(batch_pixels=True), ValueError, 'tta_cfg: batch_pixels is a whole number >= 1; got True'),
    ],
)
def test_bad_settings_are_named(oracle, changes, error, message):
    with pytest.raises(error, match=message):
        MultiScaleChipTTA(oracle(), {**CFG, **changes})


def test_a_canvas_too_small_names_the_image(oracle, packed):
    tta = MultiScaleChipTTA(oracle(), {**CFG, 'max_canvas': 50})
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    with pytest.raises(ValueError, match='1.png, 300 x 200 px: max_canvas=50 is 25 image pixels at zoom 2'):
        tta.test_step(packed(image[:, :20, :20], image))


@pytest.mark.parametrize(
    ('pipeline', 'message'),
    [
        ([*LOAD, dict(type='Resize', scale=(100, 100), keep_ratio=True), PACK], '100 x 67 pixels of 300 x 200.*Resize'),
        ([*LOAD, dict(type='Pad', size_divisor=64), PACK], '320 x 256 pixels of 300 x 200; take Resize, Pad'),
        ([*LOAD, dict(type='RandomFlip', prob=1.0), dict(type='PackDetInputs')], 'has flipped it; take RandomFlip out'),
        ([*LOAD, dict(PACK, meta_keys=('img_id', 'img_path'))], "no ori_shape; add 'ori_shape' to .* meta_keys"),
        (
            [
                LOAD[0],
                dict(type='TestTimeAug', transforms=[[dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)], [PACK]]),
            ],
            'tta_pipeline makes views of it.*take TestTimeAug out',
        ),
    ],
    ids=['Resize', 'Pad', 'RandomFlip', 'meta_keys', 'TestTimeAug'],
)
def test_a_pipeline_that_does_more_or_less_is_refused_by_name(oracle, write_coco, pipeline, message):
    dataset = DATASETS.build(dict(write_coco([(300, 200, [])]), pipeline=pipeline, test_mode=True))
    with pytest.raises(ValueError, match=f'images/0.png: .*{message}'):
        MultiScaleChipTTA(oracle(), CFG).test_step(pseudo_collate([dataset[0]]))


def test_a_preprocessor_for_a_detector_that_has_its_own_is_refused(oracle):
    with pytest.raises(ValueError, match='only for a module given as a config, but this is a Oracle'):
        MultiScaleChipTTA(oracle(), CFG, dict(type='DetDataPreprocessor'))


def test_a_detector_without_instances_is_named(oracle, packed):
    class Segmentor(oracle):
        def test_step(self, data):
            return data['data_samples']

    with pytest.raises(ValueError, match='^0.png: .* pred_instances, which Segmentor does not predict'):
        MultiScaleChipTTA(Segmentor(), CFG).test_step(packed(torch.zeros(3, 20, 30, dtype=torch.uint8)))


def strip(length):
    return torch.zeros(3, 2, length, dtype=torch.uint8)


EDGES = [(100, 40), (50, 40)]


@pytest.mark.parametrize(
    ('scales', 'ranges', 'length', 'zoom'),
    [
        (EDGES, [(None, 24), (16, None)], 202, '0.5'),
        (EDGES[::-1], [(16, None), (None, 24)], 1000, '0.1'),
        (EDGES, None, 1000, '0.1'),
        (EDGES, [(None, 24), (16, None)], 200, None),
        (EDGES, [(16, None), (None, 24)], 1000, None),  # the finest is for larger ones
        ([0.2, 0.1], None, 1000, None),  # as asked for
        ([1.0, EDGES[0]], None, 1000, None),  # as advised
    ],
)
def test_a_large_image_made_small_is_warned_of_once(oracle, packed, caplog, messages, scales, ranges, length, zoom):
    tta = MultiScaleChipTTA(oracle(), dict(scales=scales, ranges=ranges, nms=NMS))
    for image in (strip(20), strip(length), strip(1000)):
        if zoom or image.shape[2] <= length:
            tta.test_step(packed(strip(20), image))
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == (zoom is not None)
    if zoom:
        said = f'1.png, {length} x 2 px: seen at a zoom of {zoom} at most, .* a zoom factor such as 1.0 as the finest'
        assert re.search(said, warned[0].getMessage())
