"""Heads that know no valid ranges, trained on chips: said, with the lines that mend it."""

from pathlib import Path

import mmdet
import pytest
from checked import check, only, said, written
from mmengine.config import Config
from training import log_of, train

PLAIN = {
    'faster-rcnn_r50_fpn': 'rpn_head (MaxIoUAssigner), roi_head (MaxIoUAssigner), roi_head (RandomSampler)',
    'cascade-rcnn_r50_fpn': 'rpn_head (MaxIoUAssigner), roi_head (MaxIoUAssigner), roi_head (RandomSampler)',
    'retinanet_r50_fpn': 'bbox_head (MaxIoUAssigner)',
    'rpn_r50_fpn': 'bbox_head (MaxIoUAssigner)',
}


def mmdet_model(name):
    return Config.fromfile(Path(mmdet.__file__).parent / f'.mim/configs/{name}.py').model


@pytest.mark.parametrize('name', PLAIN)
def test_mmdets_own_labels(tiny_cfg, tmp_path, name):
    tiny_cfg.model = mmdet_model(f'_base_/models/{name}')
    finding = only(check(tiny_cfg), 'valid ranges', 'warning')
    assert f': {PLAIN[name]} know' in finding.what
    mended = written(tiny_cfg, finding.write, tmp_path / 'mended')
    assert not said(check(mended), 'valid ranges')


@pytest.mark.parametrize(
    'name',
    [
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
        'atss/atss_r50_fpn_1x_coco',
        'tood/tood_r50_fpn_1x_coco',
        'vfnet/vfnet_r50_fpn_1x_coco',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco',
        'yolox/yolox_tiny_8xb8-300e_coco',
        'dino/dino-4scale_r50_8xb2-12e_coco',
    ],
)
def test_one_stage_and_sets(tiny_cfg, tmp_path, name):
    tiny_cfg.model = mmdet_model(name)
    finding = only(check(tiny_cfg), 'valid ranges', 'warning')
    mended = written(tiny_cfg, finding.write, tmp_path / 'mended')
    assert not said(check(mended), 'valid ranges')


def test_a_head_of_dino_in_plain_dino(tiny_cfg, tmp_path):
    tiny_cfg.model = mmdet_model('dino/dino-4scale_r50_8xb2-12e_coco')
    tiny_cfg.model.bbox_head.type = 'mmsniper.ValidRangeDINOHead'
    finding = only(check(tiny_cfg), 'valid ranges', 'error')
    assert 'bbox_head (ValidRangeDINOHead) in a DINO' in finding.what
    assert not said(check(written(tiny_cfg, finding.write, tmp_path / 'mended')), 'valid ranges')


def test_one_line_where_there_is_nothing_to_write(tiny_cfg):
    for name, labeller in (
        ('ddod/ddod_r50_fpn_1x_coco', 'ATSSAssigner'),
        ('ddq/ddq-detr-4scale_r50_8xb2-12e_coco', 'DDQDETRHead'),
    ):
        tiny_cfg.model = mmdet_model(name)
        finding = only(check(tiny_cfg), 'valid ranges', 'note')
        assert f'bbox_head ({labeller}) knows no valid ranges' in finding.what
        assert not finding.write


def test_a_plain_sampler_behind_our_assigner(tiny_cfg):
    tiny_cfg.model.train_cfg.rcnn.sampler = dict(
        type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True
    )
    _, runner = train(tiny_cfg, train_cfg=dict(max_epochs=1, val_begin=9))
    log = log_of(runner)
    assert log.count('whatever its size: roi_head (RandomSampler) knows no valid ranges') == 1
    assert "sampler=dict(_delete_=True, type='mmsniper.ValidRangeSampler', num=300)" in log
