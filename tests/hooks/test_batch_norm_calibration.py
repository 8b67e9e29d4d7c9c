"""A detector trained on chips is given the batch statistics of the zoom that is tested, in the end or by the tool."""

import copy
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import save_checkpoint
from training import log_of, train

from mmsniper.calibration import calibrate_on_chips, chip_batches, chips_at, scale_of_test
from mmsniper.compat import allow_mmengine_checkpoints
from mmsniper.hooks import BatchNormCalibrationHook

TOOLS = Path(__file__).parents[2] / 'tools'
ONE_EPOCH = dict(max_epochs=1, val_begin=9)


def state_of(path):
    allow_mmengine_checkpoints()
    return torch.load(path, map_location='cpu', weights_only=True)


def differing(one, two):
    """Which kinds of values two states do not share."""
    return {name.split('.')[-1] for name, value in one.items() if not torch.equal(value, two[name])}


@pytest.fixture
def chips(tiny_cfg):
    return DATASETS.build(tiny_cfg.train_dataloader.dataset)


@pytest.fixture
def call(monkeypatch, tiny_cfg, tmp_path, capsys):
    """Calls the tool on random weights, or others; gives the old state and the new one."""
    torch.manual_seed(0)
    path = tmp_path / 'weights.pth'
    meta = dict(dataset_meta=dict(classes=('thing', 'other')), epoch=3)
    save_checkpoint(dict(state_dict=MODELS.build(tiny_cfg.model).state_dict(), meta=meta), str(path))

    def tool(*arguments, cfg=tiny_cfg, checkpoint=path):
        cfg.dump(tmp_path / 'mine.py')
        argv = ['calibrate_bn.py', tmp_path / 'mine.py', checkpoint, '--chips', 8, *arguments]
        monkeypatch.setattr(sys, 'argv', list(map(str, argv)))
        runpy.run_path(str(TOOLS / 'calibrate_bn.py'), run_name='__main__')
        return state_of(checkpoint), state_of(capsys.readouterr().out.split()[-1])

    return tool


def test_the_tested_scale_is_the_test_pipelines(tiny_cfg):
    assert scale_of_test(tiny_cfg) == 1.5
    for step in (dict(type='Resize', scale_factor=(1.5, 2.0)), dict(type='Resize', scale=(300, 300), keep_ratio=False)):
        tiny_cfg.test_dataloader.dataset.pipeline = [step]
        with pytest.raises(ValueError, match=r'Resize\(scale.*stretches images, and chips keep their ratio'):
            scale_of_test(tiny_cfg)
    for step, scale in (
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), (1333, 800)),
        (dict(type='Resize', scale=640, keep_ratio=True), (640, 640)),
        (dict(type='mmdet.Resize', scale_factor=2, keep_ratio=True), 2),
        (dict(type='Resize', scale_factor=(1.5, 1.5)), 1.5),
        (dict(type='Pad', size=(64, 64)), None),
    ):
        tiny_cfg.test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile'), step]
        assert scale_of_test(tiny_cfg) == scale
    wrapped = dict(type='RepeatDataset', dataset=tiny_cfg.test_dataloader.dataset, times=1)
    tiny_cfg.test_dataloader = dict(dataset=wrapped)
    assert scale_of_test(tiny_cfg) is None


def test_chips_are_of_one_zoom_and_little_padding(chips):
    before = copy.deepcopy(chips.planner.settings)
    found = chips_at(chips, 1.5)
    assert found.planner.chip_size == 128 and chips.planner.settings == before
    batches = list(chip_batches(found, 6, 3))
    assert [len(batch['inputs']) for batch in batches] == [3, 3]
    for batch in batches:
        for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            assert inputs.shape == (3, 128, 128)
            assert sample.chip_scale == pytest.approx(1.5, rel=0.02)
            assert sample.gt_instances.valid.all() or len(sample.gt_instances) > sample.gt_instances.valid.sum()
    small = chips_at(chips, 0.5)
    assert small.planner.chip_size == 96, 'of images of 200 px, the median, 100 are left'
    assert chips_at(chips, 0.5, 256).planner.chip_size == 256
    assert len(list(chip_batches(found, 10**6, 4))) == len(found.plan(0)) // 4


def test_each_process_has_as_many_batches(chips, monkeypatch):
    for n_chips in range(9, 14):
        drawn = []
        for rank in range(2):
            monkeypatch.setattr('mmsniper.calibration.get_dist_info', lambda rank=rank: (rank, 2))
            drawn.append([len(batch['inputs']) for batch in chip_batches(chips, n_chips, 3)])
        assert drawn[0] == drawn[1], n_chips


def test_where_chips_are_mixed_they_keep_their_size(tiny_cfg):
    dataset = tiny_cfg.train_dataloader.dataset
    pack = dataset.pipeline.pop()
    mosaic = dict(type='mmsniper.MixChips', transform=dict(type='Mosaic', img_scale=(128, 128)), crop=(128, 128))
    mixed = DATASETS.build(dict(type='MultiImageMixDataset', dataset=dataset, pipeline=[mosaic, pack]))
    done = calibrate_on_chips(MODELS.build(tiny_cfg.model), mixed, 0.5, 4, 2)
    assert done == dict(chips=4, scale=0.5, chip_size=128), 'unmixed ones would have 96 px'


def test_the_hook_writes_the_same_weights_with_other_statistics(tiny_cfg, tmp_path):
    hook = dict(type='mmsniper.BatchNormCalibrationHook', chips=8)
    plain, _ = train(tiny_cfg, work_dir=str(tmp_path / 'plain'), train_cfg=ONE_EPOCH)
    seen, runner = train(tiny_cfg, work_dir=str(tmp_path / 'hook'), train_cfg=ONE_EPOCH, custom_hooks=[hook])
    assert seen == plain
    last = state_of(tmp_path / 'hook/epoch_1.pth')
    assert not differing(last['state_dict'], state_of(tmp_path / 'plain/epoch_1.pth')['state_dict'])
    found = state_of(tmp_path / 'hook/calibrated.pth')
    assert differing(found['state_dict'], last['state_dict']) <= {'running_mean', 'running_var', 'num_batches_tracked'}
    changed = [name for name, value in found['state_dict'].items() if not torch.equal(value, last['state_dict'][name])]
    assert sum(name.endswith('running_var') for name in changed) == 20
    assert found['meta']['dataset_meta']['classes'] == ('thing', 'other')
    assert found['meta']['calibrated'] == dict(chips=8, scale=1.5, chip_size=128)
    assert 'the statistics of 8 training chips at scale 1.5, in chips of 128 px' in log_of(runner)
    # What is tested are the averages that EMAHook keeps.
    averaged = [hook, dict(type='EMAHook', momentum=0.5)]
    train(tiny_cfg, work_dir=str(tmp_path / 'ema'), train_cfg=ONE_EPOCH, custom_hooks=averaged)
    ema, last = state_of(tmp_path / 'ema/calibrated.pth'), state_of(tmp_path / 'ema/epoch_1.pth')
    assert 'weight' not in differing(ema['state_dict'], last['state_dict'])
    assert 'weight' in differing(ema['state_dict'], found['state_dict'])


def test_the_hook_finds_out_at_the_start_what_it_could_not_do(tiny_cfg):
    hook = [dict(type='mmsniper.BatchNormCalibrationHook')]
    frozen = dict(backbone=dict(norm_eval=True))
    with pytest.raises(ValueError, match='all 20 layers of batch norm are frozen'):
        train(tiny_cfg, custom_hooks=hook, model=frozen)
    norm = dict(type='GN', num_groups=4, requires_grad=True)
    with pytest.raises(ValueError, match='has no batch norm.*GroupNorm'):
        train(tiny_cfg, custom_hooks=hook, model=dict(backbone=dict(norm_cfg=norm)))
    tiny_cfg.test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile')]
    with pytest.raises(ValueError, match='the test pipeline has no Resize'):
        train(tiny_cfg, custom_hooks=hook)
    for chips in (0, True, 2.5):
        with pytest.raises(ValueError, match='chips is how many chips'):
            BatchNormCalibrationHook(chips)
    with pytest.raises(ValueError, match=r'scales\[0\]'):
        BatchNormCalibrationHook(scale='large')


def test_the_tool_does_what_the_hook_does_and_the_zoom_counts(call, chips, tiny_cfg):
    old, new = call()
    assert differing(old['state_dict'], new['state_dict']) == {'running_mean', 'running_var', 'num_batches_tracked'}
    assert new['meta']['epoch'] == 3 and new['meta']['calibrated'] == dict(chips=8, scale=1.5, chip_size=128)
    torch.manual_seed(0)
    model = MODELS.build(tiny_cfg.model)
    model.load_state_dict(old['state_dict'])
    calibrate_on_chips(model, chips, 1.5, 8, 4)
    assert not differing(model.state_dict(), new['state_dict'])
    _, other = call('--zoom', 0.5)
    assert 'running_var' in differing(other['state_dict'], new['state_dict'])
    _, edges = call('--zoom', 200, 100, '--size', 64, '--batch-size', 2)
    assert edges['meta']['calibrated'] == dict(chips=8, scale=(200, 100), chip_size=64)
    _, trained = call('--train')
    assert trained['meta']['calibrated'] == dict(chips=8, scale=None, chip_size=None)


def test_heads_label_as_in_the_last_epochs_and_errors_of_theirs_are_seen(call, tiny_cfg, monkeypatch):
    def as_tood(model, *args, **kwargs):
        raise TypeError(f'epoch {MessageHub.get_current_instance().get_info("epoch"):.0e}')

    monkeypatch.setattr('mmsniper.calibration.calibrate', as_tood)
    MessageHub.get_current_instance().update_info('epoch', None)
    with pytest.raises(TypeError, match=r'epoch 1e\+09'):
        call()  # and not as an error of the config


def test_a_config_of_whole_images_is_calibrated_at_the_zoom_of_its_test(call, tiny_cfg, chips):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(128, 128), keep_ratio=True),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackDetInputs'),
    ]
    cfg = copy.deepcopy(tiny_cfg)
    whole = dict(tiny_cfg.train_dataloader.dataset.dataset, pipeline=pipeline)
    sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.train_dataloader = dict(batch_size=2, sampler=sampler, num_workers=1, persistent_workers=True, dataset=whole)
    plain = Config.fromfile(Path(__file__).parents[2] / 'configs/multi_scale/single-scale_faster-rcnn_r50_fpn_coco.py')
    cfg.model.train_cfg = plain.model.train_cfg
    old, new = call(cfg=cfg)
    assert differing(old['state_dict'], new['state_dict']) == {'running_mean', 'running_var', 'num_batches_tracked'}
    assert new['meta']['calibrated']['scale'] == 1.5, "the test pipeline's"
    _, other = call('--zoom', 0.5, cfg=cfg)
    assert 'running_var' in differing(other['state_dict'], new['state_dict'])
    old, trained = call('--train', cfg=cfg)
    assert differing(old['state_dict'], trained['state_dict']) == {'running_mean', 'running_var', 'num_batches_tracked'}
    assert trained['meta']['calibrated'] == dict(images=4), 'all there are'
    assert not differing(call('--train', cfg=cfg)[1]['state_dict'], trained['state_dict'])
    with pytest.raises(SystemExit, match='--train is what the config trains on'):
        call('--zoom', 2.0, '--train', cfg=cfg)
    cfg.train_dataloader.dataset.pipeline[1] = dict(type='LoadPanopticAnnotations')
    with pytest.raises(SystemExit, match='the training pipeline has .*LoadPanopticAnnotations.*: say --train'):
        call(cfg=cfg)


def test_the_tool_refuses_by_name(call, tiny_cfg, tmp_path):
    cfg = copy.deepcopy(tiny_cfg)
    cfg.model.backbone.norm_eval = True
    with pytest.raises(SystemExit, match='all 20 layers of batch norm are frozen'):
        call(cfg=cfg)
    cfg.model.neck.out_channels = 16
    with pytest.raises(SystemExit, match='the checkpoint does not fit the config'):
        call(cfg=cfg)
    with pytest.raises(SystemExit):
        call('--zoom', 1, 2, 3)
    cfg = copy.deepcopy(tiny_cfg)
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(SystemExit, match='the test pipeline has no Resize: say --zoom 1.5, or --train'):
        call(cfg=cfg)
    assert not (tmp_path / 'weights_calibrated.pth').exists()
