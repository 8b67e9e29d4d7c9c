"""All checks together: what is right is not complained of, what cannot be built is said, a tool prints it."""

import json
from pathlib import Path

import pytest
from checked import check, only, said
from mmengine.config import Config
from mmengine.logging import MessageHub
from shrink import shrink_data, shrink_model
from training import log_of, train

from mmsniper.checks import PlannedRun, check_run
from mmsniper.checks.findings import Finding, ordered

ROOT = Path(__file__).parents[2]
# One of each kind of model, data set and wrapper; benchmarked by hand, all of them.
RECIPES = [
    'demo/sniper_tiny_shapes',
    'demo/sniper_rpn_tiny_shapes',
    'mixed_sizes/sniper_faster-rcnn_r50_fpn_mixed_b+_coco',
    'mixed_sizes/sniper_faster-rcnn_r50_fpn_mixed_d+_coco',
    'mixed_sizes/sniper_faster-rcnn_r50_fpn_mixed_decreasing_coco',
    'mixed_sizes/sniper_tiny_mixed_b+_shapes',
    'multi_scale/ms_faster-rcnn_r50_fpn_coco',
    'snip/snip_faster-rcnn_r50_fpn_coco',
    'sniper/sniper_cascade-mask-rcnn_r50_fpn_coco',
    'sniper/sniper_faster-rcnn_r50_fpn_custom',
    'sniper/sniper_faster-rcnn_r50_fpn_frozen-bn_coco',
    'sniper/sniper_faster-rcnn_r50_fpn_mosaic_coco',
    'sniper/sniper_faster-rcnn_r50_fpn_voc0712',
    'sniper/sniper_dino_r50_coco',
    'sniper/sniper_fcos_r50_fpn_coco',
    'sniper/sniper_rpn_r50_fpn_2e_coco',
    'sniper/sniper_rtmdet_s_coco',
    'sniper/sniper_tood_r50_fpn_coco',
    'sniper/sniper_yolox_s_coco',
]
ONE_GPU = ('demo', 'custom', 'tiny')


@pytest.mark.parametrize('name', RECIPES)
def test_shipped_recipes_are_right(tmp_path, monkeypatch, name):
    """With the iterations that they have on their own data."""
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    batch, workers = cfg.train_dataloader.batch_size, cfg.train_dataloader.num_workers
    shrink_data(cfg, tmp_path)
    cfg.train_dataloader.update(batch_size=batch, num_workers=workers)
    monkeypatch.setattr(PlannedRun, 'steps_per_epoch', 4000)
    world_size = 1 if any(part in name for part in ONE_GPU) else 8
    assert [finding for finding in check(cfg, world_size=world_size) if finding.level != 'note'] == []


def test_a_network_may_ask_for_the_epoch(tiny_cfg, configs):
    """TOOD, whose assigner depends on it; before a training nobody has told."""
    tiny_cfg.model = Config.fromfile(configs / 'sniper/sniper_tood_r50_fpn_coco.py').model
    shrink_model(tiny_cfg.model)
    tiny_cfg.model.bbox_head.num_classes = 2
    MessageHub.get_current_instance().runtime_info.pop('epoch', None)
    findings = check(tiny_cfg, batch=True, device='cpu')
    assert 'loss_cls' in only(findings, 'first batch', 'note').what


def test_a_batch_goes_through_the_network(tiny_cfg):
    findings = check(tiny_cfg, batch=True, device='cpu')
    assert 'loss_rpn_cls' in only(findings, 'first batch', 'note').what
    assert 'estimated from 2 samples' in only(findings, 'memory', 'note').what
    tiny_cfg.model.data_preprocessor.std = [0.0, 1.0, 1.0]
    finding = only(check(tiny_cfg, batch=True, device='cpu'), 'first batch', 'error')
    assert 'not finite' in finding.what


def test_what_cannot_be_built_is_said_and_the_rest_looked_at(tiny_cfg):
    tiny_cfg.train_dataloader.dataset.dataset.ann_file = 'gone.json'
    tiny_cfg.model.backbone.type = 'ResNit'
    findings = check(tiny_cfg, batch=True)
    assert 'gone.json' in only(findings, 'training data', 'error').what
    assert 'ResNit' in only(findings, 'model', 'error').what
    assert 'not tried' in only(findings, 'first batch', 'note').what
    assert said(findings, 'images'), 'those of validation'
    assert said(check(Config(dict(model={}))), 'config', 'error')


def test_negative_chips_that_are_not_mined_yet(tiny_cfg, tmp_path):
    tiny_cfg.train_dataloader.dataset.negatives = dict(ann_file=str(tmp_path / 'none.npz'))
    findings = check(tiny_cfg)
    assert 'mmsniper recipe' in only(findings, 'negative chips', 'warning').write
    assert not [finding for finding in findings if finding.level == 'error']


def test_a_check_that_fails_ends_nothing():
    def check_nothing(run):
        raise KeyError('x')
        yield

    (finding,) = check_run(PlannedRun(Config()), (check_nothing,))
    assert finding.level == 'note' and "check_nothing failed: KeyError: 'x'" in finding.what


def test_errors_come_first_and_once():
    findings = [Finding(level, 'a', level, 'why') for level in ('note', 'error', 'warning', 'error')]
    assert [finding.level for finding in ordered(findings)] == ['error', 'warning', 'note']


def test_training_logs_what_is_no_error(tiny_cfg):
    _, runner = train(tiny_cfg, train_cfg=dict(max_epochs=1, val_begin=9))
    log = log_of(runner)
    assert log.count('WARNING - schedule: warm-up takes 50 iterations') == 1
    assert 'INFO - ranges: of 13 objects' in log


def test_the_tool_exits_with_1_and_writes_json(run_tool, tiny_cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_cfg.model.roi_head.bbox_head.num_classes = 80
    tiny_cfg.dump(tmp_path / 'mine.py')
    tool = ['check_config.py', 'mine.py', '--no-batch', '--json', '-']
    done = run_tool(*tool)
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)['findings']
    assert findings[0]['level'] == 'error' and findings[0]['about'] == 'classes'
    assert set(findings[0]) == {'level', 'about', 'what', 'why', 'write'}
    assert run_tool(*tool, '--cfg-options', 'model.roi_head.bbox_head.num_classes=2').returncode == 0


def test_train_py_checks_first_any_config_unless_told_not_to(run_tool, tiny_cfg, tmp_path, monkeypatch):
    """One without our hooks, too; one with them is stopped by none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMSNIPER_NO_CHECK', '0')  # so that it is put back
    tiny_cfg.model.roi_head.bbox_head.num_classes = 80
    tiny_cfg.train_cfg.update(max_epochs=1, val_begin=9)
    tiny_cfg.dump(tmp_path / 'hooks.py')
    tiny_cfg.default_hooks = {}
    tiny_cfg.dump(tmp_path / 'mine.py')
    with pytest.raises(ValueError, match=r'num_classes is: roi_head\.bbox_head 80'):
        run_tool('train.py', 'mine.py')
    for name in ('mine.py', 'hooks.py'):
        assert run_tool('train.py', name, '--no-check').returncode == 0
        assert (Path(tiny_cfg.work_dir) / 'epoch_1.pth').exists()
