"""As many outputs as classes: said with the lines that mend it, which do."""

from pathlib import Path

import mmdet
import pytest
from checked import check, only, said, written
from mmengine.config import Config
from mmengine.registry import init_default_scope
from training import train

from mmsniper.checks.classes import check_heads
from mmsniper.checks.first_batch import random_model

CASCADE = ['sniper_cascade-rcnn_r50_fpn_coco', 'sniper_cascade-mask-rcnn_r50_fpn_coco']


@pytest.mark.parametrize('n', [1, 3, 80])
def test_num_classes_for_two_classes(tiny_cfg, tmp_path, n):
    assert not said(check(tiny_cfg), 'classes')
    tiny_cfg.model.roi_head.bbox_head.num_classes = n
    finding = only(check(tiny_cfg), 'classes', 'error')
    assert f"2 classes, ('thing', 'other'), but num_classes is: roi_head.bbox_head {n}" in finding.what
    assert finding.write == 'model = dict(roi_head=dict(bbox_head=dict(num_classes=2)))'
    assert not said(check(written(tiny_cfg, finding.write, tmp_path / 'mended')), 'classes')


def test_training_refuses_them_at_its_start(tiny_cfg):
    tiny_cfg.model.roi_head.bbox_head.num_classes = 3
    with pytest.raises(ValueError, match=r'model = dict\(roi_head=dict\(bbox_head=dict\(num_classes=2\)\)\)'):
        train(tiny_cfg)
    tiny_cfg.default_hooks.config_check.enabled = False
    with pytest.raises(AssertionError, match='num_classes'):
        train(tiny_cfg)


@pytest.mark.parametrize('name', ['sniper_mask-rcnn_r50_fpn_coco', *CASCADE, 'sniper_retinanet_r50_fpn_coco'])
def test_lines_reach_every_head(configs, tiny_cfg, tmp_path, name):
    """Mask heads, and a cascade's list of stages, which a config replaces as a whole."""
    cfg = Config.fromfile(configs / f'sniper/{name}.py')
    cfg.train_dataloader.dataset.dataset = tiny_cfg.train_dataloader.dataset.dataset
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.train_dataloader.dataset.pipeline = tiny_cfg.train_dataloader.dataset.pipeline
    finding = only(check(cfg), 'classes', 'error')
    stages = 3 if 'cascade' in name else 1
    assert finding.what.count(' 80') == stages + ('mask' in name) * stages
    mended = written(cfg, finding.write, tmp_path / 'mended')
    assert not said(check(mended), 'classes')
    assert len(mended.model.get('roi_head', {}).get('bbox_head', [])) >= (stages if stages > 1 else 0)


def test_another_order_in_validation(tiny_cfg):
    tiny_cfg.val_dataloader.dataset.update(type='CocoDataset', metainfo=dict(classes=('other', 'thing')))
    findings = check(tiny_cfg)
    assert 'in another order than' in only(findings, 'validation data', 'error').what


@pytest.mark.parametrize(
    'name',
    ['faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco', 'guided_anchoring/ga-rpn_r50-caffe_fpn_1x_coco'],
)
def test_an_rpn_of_any_head_knows_no_classes(name):
    cfg = Config.fromfile(Path(mmdet.__file__).parent / f'.mim/configs/{name}.py')
    init_default_scope('mmdet')
    assert not list(check_heads(random_model(cfg, weightless=True), tuple(map(str, range(80))), cfg.model))
