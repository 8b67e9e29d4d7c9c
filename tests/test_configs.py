import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmsniper import config_path
from mmsniper.chips import ChipPlanner, build_planner
from mmsniper.chips.inference import untaught_sizes
from mmsniper.chips.scales import check_ranges, check_scales
from mmsniper.configs import find_config, home
from mmsniper.models.merging import check_nms
from mmsniper.models.multi_scale_tta import DEFAULTS
from mmsniper.models.pyramid import find_planner, follow_config

SNIPER = 'sniper/sniper_faster-rcnn_r50_fpn_coco.py'


@pytest.fixture(scope='module')
def every_config(configs):
    """Paths and configs, those apart whose package is not installed."""
    paths = [path for path in configs.rglob('*.py') if '_base_' not in path.parts]
    return {path: Config.fromfile(path) for path in paths if 'convnext' not in path.stem}


@pytest.fixture
def sniper(configs):
    return Config.fromfile(configs / SNIPER)


def test_configs_are_found_by_path_and_by_name(configs, tmp_path, monkeypatch):
    found = f'{configs}/sniper/sniper_retinanet_r50_fpn_coco.py'
    for name in ('', 'sniper/', 'configs/sniper/', 'mmsniper::sniper/'):
        assert config_path(f'{name}sniper_retinanet_r50_fpn_coco') == found
        assert config_path(f'{name}sniper_retinanet_r50_fpn_coco.py') == found
    assert config_path('_base_/tta/sniper_tta.py') == f'{configs}/_base_/tta/sniper_tta.py'
    with pytest.raises(FileNotFoundError, match='no config zzz; they are below'):
        config_path('zzz')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'sniper_retinanet_r50_fpn_coco').touch()
    assert find_config('sniper_retinanet_r50_fpn_coco') == 'sniper_retinanet_r50_fpn_coco', "one's own file comes first"
    assert home() == configs.parent


def test_names_are_unique_because_mim_searches_by_them(configs):
    names = [path.name for path in configs.rglob('*.py')]
    assert len(names) == len(set(names))


def test_every_config_is_listed_and_described(configs, every_config):
    """In a metafile, where mim searches, and in the folder's page."""
    root = configs.parent
    models = [model for path in load(root / 'model-index.yml')['Import'] for model in load(root / path)['Models']]
    files = [path for path in configs.rglob('*.py') if '_base_' not in path.parts]
    assert sorted(model['Config'] for model in models) == sorted(str(path.relative_to(root)) for path in files)
    for model in models:
        assert Path(model['Config']).stem == model['Name']
        assert all(result['Metrics'] == {} for result in model['Results']), 'nobody has trained them'
        cfg = every_config.get(root / model['Config'])
        assert model['Metadata']['Epochs'] == (cfg.train_cfg.max_epochs if cfg else 7)
    for path in files:
        assert path.stem in path.with_name('README.md').read_text(), path


def test_the_recipe_is_the_papers(sniper):
    loader = sniper.train_dataloader
    planner = ChipPlanner(**loader.dataset.planner)
    assert planner.scales == (3.0, 1.667, (512, 512))
    assert planner.valid_ranges[:, 0].tolist() == [0, 32, 120]
    assert (planner.chip_size, planner.stride, loader.batch_size) == (512, 32, 16)
    assert (loader.batch_sampler.type, loader.batch_sampler.lanes) == ('mmsniper.ChipBatchSampler', loader.num_workers)
    assert not sniper.model.backbone.norm_eval
    assert sniper.auto_scale_lr.base_batch_size == 128
    rpn, rcnn = sniper.model.train_cfg.rpn, sniper.model.train_cfg.rcnn
    assert (rpn.assigner.pos_iou_thr, rpn.assigner.neg_iou_thr) == (0.5, 0.4)
    assert (rpn.sampler.num, rpn.sampler.pos_fraction) == (256, 0.5)
    assert sniper.model.train_cfg.rpn_proposal.max_per_img == 1000, 'of which those in range are taken'
    assert rcnn.sampler == dict(type='mmsniper.ValidRangeSampler', num=300)


def test_every_training_config_resumes_exactly_and_checks_its_data(every_config):
    for path, cfg in every_config.items():
        assert cfg.default_hooks.exact_resume.type == 'mmsniper.ExactResumeHook', path
        assert cfg.default_hooks.data_check.type == 'mmsniper.DataCheckHook', path
        assert cfg.default_hooks.evaluation.type == 'mmsniper.EvaluationHook', path
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            assert evaluator is None or evaluator.type != 'CocoMetric', path  # which counts ignored regions
        assert cfg.default_hooks.num_classes.type == 'mmsniper.NumClassCheckHook', path
        assert cfg.default_hooks.config_check.type == 'mmsniper.ConfigCheckHook', path
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            # mmdet's would number labels by the file without a word.
            assert loader is None or loader.dataset.type != 'CocoDataset', path


@pytest.mark.parametrize('name', ['faster-rcnn_r50_fpn_coco', 'faster-rcnn_r50_fpn_neg_coco', 'rpn_r50_fpn_2e_coco'])
def test_full_models_build_with_their_views(configs, name):
    check_views(Config.fromfile(configs / f'sniper/sniper_{name}.py'), [(2000, 1400), (1280, 800), (512, 480)])


@pytest.mark.parametrize('name', ['tiny_shapes', 'tiny_neg_shapes', 'rpn_tiny_shapes'])
def test_demo_models_build_with_their_views(configs, name):
    check_views(Config.fromfile(configs / f'demo/sniper_{name}.py'), [2.0, 1.0, (256, 256)])


def check_views(cfg, scales):
    """As tools/test.py --tta builds a model: a detector's views are of `scales`, an RPN's of those it is trained on."""
    tta = MODELS.build(dict(**cfg.tta_model, module=cfg.model))
    follow_config(tta, cfg)  # as EvaluationHook does
    if cfg.model.type == 'RPN':
        assert tta.scales == (3.0, 1.667, (512.0, 512.0))
        assert tta.ranges == [[0.0, float('inf')]] * 3
        assert (tta.nms, tta.score_thr, tta.max_per_img) == (None, 0.0, -1)
    else:
        assert tta.scales == tuple(scales)
        trained = ChipPlanner(**cfg.train_dataloader.dataset.planner).valid_ranges
        assert (tta.ranges[0][1], tta.ranges[1][1]) > (trained[0, 1], trained[1, 1]), 'wider than in training'
        assert tta.nms['type'] == 'soft_nms'
    steps = [step.type for step in cfg.tta_pipeline]
    assert steps == ['LoadImageFromFile', 'LoadAnnotations', 'PackDetInputs'], 'nothing that resizes'


def test_the_test_pyramid_of_the_configs_is_the_default(configs):
    written = Config.fromfile(configs / '_base_/tta/sniper_tta.py').tta_model.tta_cfg.to_dict()
    # Over a None a config could write no settings without _delete_.
    assert {**written, 'focus': None} == DEFAULTS


def test_the_test_pyramid_of_every_config_is_what_its_planner_teaches(every_config):
    """Derived, or given and near to it, on an image of COCO's size; the planner found, whatever is around it."""
    derived = 0
    for path, cfg in every_config.items():
        if 'rpn' in path.stem:
            continue
        planner, given = find_planner(cfg), cfg.tta_model.tta_cfg
        assert (planner is None) == ('multi_scale' in path.parts), path
        if given.scales == given.ranges == 'planner':
            derived += 1
        elif planner:
            ranges = check_ranges(given.ranges, given.scales, 'ranges')
            assert not untaught_sizes(build_planner(planner), check_scales(given.scales), ranges, (640, 480)), path
    assert derived > 30


def test_validation_comes_after_every_epoch_and_one_line_makes_it_multi_scale(configs, sniper):
    custom = Config.fromfile(configs / 'sniper/sniper_faster-rcnn_r50_fpn_custom.py')
    assert (sniper.train_cfg.val_interval, custom.train_cfg.val_interval) == (1, 1)
    assert (sniper.val_cfg.type, custom.val_cfg.type) == ('ValLoop', 'mmsniper.MultiScaleValLoop')


@pytest.mark.parametrize(
    'nms', [dict(type='nms', iou_threshold=0.5), dict(type='soft_nms', method='linear', iou_threshold=0.4)], ids=str
)
def test_another_nms_needs_no_delete(configs, tmp_path, nms):
    base = configs / '_base_/tta/sniper_tta.py'
    (tmp_path / 'mine.py').write_text(f'_base_ = {str(base)!r}\ntta_model = dict(tta_cfg=dict(nms={nms}))\n')
    merged = Config.fromfile(tmp_path / 'mine.py').tta_model.tta_cfg.nms
    assert merged == nms
    check_nms(merged)


def test_learning_rate_warms_up_and_steps_at_5_33_epochs(sniper):
    weight = torch.nn.Linear(1, 1)
    optimizer = build_optim_wrapper(weight, sniper.optim_wrapper)
    per_epoch, schedulers = 600, []
    for cfg in sniper.param_scheduler:
        cls = PARAM_SCHEDULERS.get(cfg['type'])
        cfg = {k: v for k, v in cfg.items() if k != 'type'}
        convert = cfg.pop('convert_to_iter_based', False)
        build = cls.build_iter_from_epoch if convert else cls
        schedulers.append(build(optimizer, **cfg, **(dict(epoch_length=per_epoch) if convert else {})))
    rates = []
    for _ in range(7 * per_epoch):
        rates.append(optimizer.get_lr()['lr'][0])
        optimizer.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    step = int(5.33 * per_epoch)
    assert rates[0] == pytest.approx(0.0005)
    assert rates[1000] == rates[step - 1] == pytest.approx(0.015)
    assert rates[step + 1] == rates[-1] == pytest.approx(0.0015)


def test_chip_parameters_stand_once(configs):
    for path in configs.rglob('*.py'):
        assert len(re.findall(r'chip_size=', path.read_text())) <= 1, path
