"""Configs that inherit from the installed package, and mmdet's own put on chips."""

import os
import subprocess
import sys
from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config
from shrink import shrink, train_and_detect

import mmsniper.registry  # noqa: F401  as every tool does

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
MMDET = Path(mmdet.__file__).parent / '.mim'
# What mmdet's configs of detectors are made of.
PLAIN = {
    'models': 'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    'datasets': 'mmdet::_base_/datasets/coco_detection.py',
    'schedules': 'mmdet::_base_/schedules/schedule_1x.py',
    'runtime': 'mmdet::_base_/default_runtime.py',
}
ON_CHIPS = """
_base_ = 'mmdet::{}.py'
from mmsniper.inherit import on_chips

on_chips(_base_)
{}
"""


@pytest.fixture
def load(tmp_path):
    """A config from its text."""

    def load(text):
        path = tmp_path / 'mine.py'
        path.write_text(text)
        return Config.fromfile(path)

    return load


def test_a_config_inherits_from_the_package_as_from_a_file(load):
    """The same dicts: none in a scope of ours, where mmdet's types are not found."""
    inherited = load("_base_ = 'mmsniper::sniper/sniper_faster-rcnn_r50_fpn_coco.py'\nsteps = _base_.train_pipeline")
    file = Config.fromfile(CONFIGS / 'sniper/sniper_faster-rcnn_r50_fpn_coco.py')
    assert inherited.pop('steps') == file.train_pipeline
    assert inherited.to_dict() == file.to_dict()
    assert "_scope_='mmsniper'" not in inherited.pretty_text


def test_a_wrong_base_names_the_nearest(load):
    with pytest.raises(FileNotFoundError, match='no config _base_/datasets/sniper_coco; did you mean _base_/data'):
        load("_base_ = 'mmsniper::_base_/datasets/sniper_coco.py'")
    with pytest.raises(AssertionError, match='does not support to load nobody config'):
        load("_base_ = 'nobody::a/b.py'")


@pytest.mark.parametrize(
    ('kind', 'part'),
    [
        ('models', 'models/sniper_cascade-mask-rcnn_r50_fpn'),
        ('datasets', 'datasets/sniper_coco_instance'),
        ('schedules', 'schedules/sniper_adamw_7e'),
        ('runtime', 'sniper_runtime'),
        ('tta', 'tta/sniper_tta'),
    ],
)
def test_parts_of_ours_stand_beside_mmdets(load, kind, part):
    """No key twice: each takes the place of mmdet's of its kind, or stands beside all of them."""
    bases = [name for other, name in PLAIN.items() if other != kind]
    cfg = load(f'_base_ = {[*bases, f"mmsniper::_base_/{part}.py"]}')
    assert ('mmsniper.ChipDataset' in cfg.pretty_text) == (kind == 'datasets')


@pytest.mark.parametrize(
    ('plain', 'ours'),
    [
        ('retinanet/retinanet_r50_fpn_1x_coco', 'retinanet_r50_fpn'),
        ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco', 'mask-rcnn_r50_fpn'),
        ('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco', 'cascade-rcnn_r50_fpn'),
    ],
)
def test_a_plain_config_on_chips_is_ours(load, tmp_path, plain, ours):
    """Loader, labels and test pyramid; what says how long and how fast it learns stays."""
    cfg = load(ON_CHIPS.format(plain, 'train_dataloader = dict(batch_size=4, dataset=dict(planner=dict(stride=64)))'))
    ours = Config.fromfile(CONFIGS / f'sniper/sniper_{ours}_coco.py')
    before = Config.fromfile(MMDET / f'configs/{plain}.py')
    chips = cfg.train_dataloader.dataset
    assert (chips.planner.pop('stride'), cfg.train_dataloader.pop('batch_size')) == (64, 4)
    chips.planner.stride, cfg.train_dataloader.batch_size = 32, 16
    chips.dataset.filter_cfg.filter_empty_gt = False  # the base's data are what they are
    for name in ('train_dataloader', 'train_pipeline', 'tta_model', 'tta_pipeline', 'randomness'):
        assert plain_dict(cfg[name]) == plain_dict(ours[name]), name
    assert plain_dict(cfg.model.train_cfg) == plain_dict(ours.model.train_cfg)
    assert cfg.default_hooks.keys() == ours.default_hooks.keys()
    for name in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert plain_dict(cfg[name]) == plain_dict(before[name]), name
    assert plain_dict(cfg.val_evaluator) == {**plain_dict(before.val_evaluator), 'type': 'mmsniper.CocoMetric'}
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'plain',
    [
        pytest.param('gfl/gfl_r50_fpn_1x_coco', marks=pytest.mark.smoke),
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
        'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712',
    ],
)
def test_a_plain_config_trains_on_chips(load, tmp_path, plain):
    """Those that we have none of."""
    cfg = load(ON_CHIPS.format(plain, ''))
    assert "'mmsniper.ValidRange" in str(cfg.model)
    shrink(cfg, tmp_path)
    train_and_detect(cfg)


def plain_dict(node):
    """Without the scopes that mmengine adds to what is inherited."""
    if isinstance(node, dict):
        return {key: plain_dict(value) for key, value in node.items() if key != '_scope_'}
    return [plain_dict(one) for one in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    ('plain', 'named'),
    [
        ('mask2former/mask2former_r50_8xb2-lsj-50e_coco', 'Mask2Former'),
        ('ssd/ssd300_coco', 'SSDHead'),
        ('ddq/ddq-detr-4scale_r50_8xb2-12e_coco', 'DDQDETRHead'),
        ('faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco', 'OHEMSampler'),
        ('cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco', 'CascadeRPNHead'),
    ],
)
def test_heads_that_would_learn_wrong_are_refused(load, plain, named):
    with pytest.raises(ValueError, match=f'on_chips: .*{named} is not known to label by valid range. Known are'):
        load(ON_CHIPS.format(plain, ''))


@pytest.mark.parametrize('plain', ['htc/htc_r50_fpn_1x_coco', 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco'])
def test_what_learns_from_maps_is_refused(load, plain):
    with pytest.raises(ValueError, match='the semantic_head of .* learns from maps of all pixels'):
        load(ON_CHIPS.format(plain, ''))


def test_a_head_in_a_detector_that_is_not_known_with_it_is_refused(load):
    text = ON_CHIPS.format('dino/dino-4scale_r50_8xb2-12e_coco', '').replace(
        'on_chips(_base_', "_base_.model.type = 'MyDINO'\non_chips(_base_"
    )
    with pytest.raises(ValueError, match='of detectors with a DINOHead, DINO is known .*, not MyDINO'):
        load(text)


def test_what_is_left_out_of_the_pipeline_is_said(load):
    steps = "[dict(type='LoadImageFromFile', to_float32=True), dict(type='PhotoMetricDistortion')]"
    text = ON_CHIPS.format('retinanet/retinanet_r50_fpn_1x_coco', '')
    changed = f'_base_.train_dataloader.dataset.pipeline = {steps}\non_chips(_base_)'
    with pytest.warns(
        UserWarning, match="on_chips: PhotoMetricDistortion of the base's training pipeline are left out"
    ):
        cfg = load(text.replace('on_chips(_base_)', changed))
    for pipeline in (cfg.train_dataloader.dataset.pipeline, cfg.tta_pipeline):
        assert pipeline[0].to_float32, 'how files are decoded stays'
    assert 'pipeline' not in cfg.train_dataloader.dataset.dataset


def test_what_pads_batches_to_the_size_of_images_is_left_out(load):
    with pytest.warns(UserWarning, match='on_chips: .*BatchFixedSizePad'):
        cfg = load(ON_CHIPS.format('retinanet/retinanet_r50_fpn_8xb8-amp-lsj-200e_coco', ''))
    assert not cfg.model.data_preprocessor.batch_augments


def test_a_base_that_mixes_images_mixes_chips(load):
    """YOLOX's: around ChipDataset, without what zooms, and until the same epoch."""
    with pytest.warns(UserWarning, match='on_chips: BatchSyncRandomResize, RandomAffine of the base'):
        cfg = load(ON_CHIPS.format('yolox/yolox_s_8xb8-300e_coco', ''))
    mixing = cfg.train_dataloader.dataset
    assert mixing.type == 'MultiImageMixDataset'
    assert [step.type for step in mixing.pipeline] == [
        *('mmsniper.MixChips', 'mmsniper.MixChips', 'YOLOXHSVRandomAug', 'mmsniper.PackChipInputs')
    ]
    assert [step.transform.type for step in mixing.pipeline[:2]] == ['Mosaic', 'MixUp']
    assert mixing.pipeline[0].crop == mixing.pipeline[0].transform.img_scale == (512, 512)
    assert mixing.pipeline[1].transform.ratio_range == (1.0, 1.0)
    assert mixing.dataset.type == 'mmsniper.ChipDataset'
    assert [step.type for step in mixing.dataset.pipeline][-2:] == ['mmsniper.ChipSampler', 'RandomFlip']
    assert mixing.dataset.dataset.type == 'CocoDataset'
    assert cfg.model.data_preprocessor.batch_augments is None
    (switch,) = [hook for hook in cfg.custom_hooks if hook.type == 'YOLOXModeSwitchHook']
    assert (switch.num_last_epochs, switch.skip_type_keys) == (15, ('mmsniper.MixChips',))


def test_a_pipeline_of_whole_images_takes_no_chips_place(load):
    """RTMDet's second stage, which mixes nothing: what mixes chips stops at that epoch."""
    cfg = load(ON_CHIPS.format('rtmdet/rtmdet_s_8xb32-300e_coco', ''))
    assert [step.transform.type for step in cfg.train_dataloader.dataset.pipeline[::2]][:2] == ['Mosaic', 'MixUp']
    switch = cfg.custom_hooks[-1]
    assert (switch.type, switch.num_last_epochs) == ('YOLOXModeSwitchHook', 19)
    assert 'PipelineSwitchHook' not in str(cfg.custom_hooks)


def test_masks_are_not_mixed(load):
    with pytest.warns(UserWarning, match='on_chips: CachedMixUp, CachedMosaic of the base'):
        cfg = load(ON_CHIPS.format('rtmdet/rtmdet-ins_s_8xb32-300e_coco', ''))
    chips = cfg.train_dataloader.dataset
    assert chips.type == 'mmsniper.ChipDataset'
    assert [step.type for step in chips.pipeline[2:]] == [
        *('mmsniper.ChipSampler', 'YOLOXHSVRandomAug', 'RandomFlip', 'mmsniper.PackChipInputs')
    ]
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook'], 'nothing is mixed that could end'


def test_a_schedule_is_shortened_in_proportion(load):
    shorter = ON_CHIPS.replace('on_chips(_base_)', 'on_chips(_base_, max_epochs=30)')
    cfg = load(shorter.format('rtmdet/rtmdet_s_8xb32-300e_coco', ''))
    warm_up, cosine = cfg.param_scheduler
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.dynamic_intervals) == (30, [(28, 1)])
    assert (warm_up.begin, warm_up.end) == (0, 1000), 'iterations stay'
    assert (cosine.begin, cosine.end, cosine.T_max) == (15, 30, 15)
    assert cfg.custom_hooks[-1].num_last_epochs == 2
    tood = load(shorter.replace('30', '6').format('tood/tood_r50_fpn_1x_coco', ''))
    assert (tood.train_cfg.max_epochs, tood.param_scheduler[1].milestones) == (6, [4, 6])
    assert tood.model.train_cfg.initial_epoch == 2
    assert tood.model.train_cfg.assigner == dict(type='mmsniper.ValidRange', assigner='TaskAlignedAssigner', topk=13)


@pytest.mark.parametrize(
    'plain',
    [
        'atss/atss_r50_fpn_1x_coco',
        'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco',
        'dino/dino-4scale_r50_8xb2-12e_coco',
        'tood/tood_r50_fpn_1x_coco',
        'yolox/yolox_s_8xb8-300e_coco',
    ],
)
def test_a_base_that_labels_by_range_stays_as_it_is(load, plain):
    once = load(ON_CHIPS.format(plain, ''))
    twice = load(
        ON_CHIPS.format(plain, 'label_by_range(_base_.model)').replace('on_chips\n\n', 'label_by_range, on_chips\n\n')
    )
    assert plain_dict(twice.model) == plain_dict(once.model)


def test_types_may_be_written_with_their_scope(load):
    text = ON_CHIPS.format('retinanet/retinanet_r50_fpn_1x_coco', '').replace(
        'on_chips(_base_', "_base_.model.bbox_head.type = 'mmdet.RetinaHead'\non_chips(_base_"
    )
    assert load(text).model.train_cfg.assigner.type == 'mmsniper.ValidRange'


def test_masks_without_kernels_do_not_stop_several_processes(load):
    assert load(ON_CHIPS.format('rtmdet/rtmdet-ins_s_8xb32-300e_coco', '')).find_unused_parameters


def test_a_schedule_keeps_a_length(load):
    cfg = load(ON_CHIPS.format('yolox/yolox_s_8xb8-300e_coco', '').replace('(_base_)', '(_base_, max_epochs=20)'))
    assert all(one.end > one.begin for one in cfg.param_scheduler)


def test_the_end_of_mixing_in_two_stages_is_refused(load):
    two_stages = """
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
from mmsniper.inherit import on_chips

from mmengine.config import ConfigDict

_base_.train_dataloader.dataset.pipeline.insert(2, ConfigDict(type='Mosaic', img_scale=(640, 640)))
_base_.custom_hooks = [ConfigDict(type='PipelineSwitchHook', switch_epoch=8, switch_pipeline=[])]
on_chips(_base_)
"""
    with pytest.raises(ValueError, match='PipelineSwitchHook ends .* the base has two stages'):
        load(two_stages)


def test_a_schedule_of_iterations_is_not_scaled(load):
    by_iteration = "_base_.train_cfg = dict(type='IterBasedTrainLoop', max_iters=9)\non_chips(_base_, max_epochs=6)"
    text = ON_CHIPS.format('retinanet/retinanet_r50_fpn_1x_coco', '').replace('on_chips(_base_)', by_iteration)
    with pytest.raises(ValueError, match='the base has no max_epochs'):
        load(text)


def test_something_to_train_is_needed(load):
    with pytest.raises(ValueError, match='needs a base with a model and a train_dataloader'):
        load(ON_CHIPS.format('_base_/default_runtime', ''))


@pytest.mark.parametrize(
    'text',
    [
        "_base_ = __import__('mmsniper').config_path('sniper_faster-rcnn_r50_fpn_coco')",
        ON_CHIPS.format('retinanet/retinanet_r50_fpn_1x_coco', ''),
    ],
)
def test_both_forms_load_where_nothing_of_ours_is_imported(text, tmp_path):
    """As in mmdet's own scripts, which read the config first."""
    (tmp_path / 'mine.py').write_text(text)
    code = "from mmengine.config import Config; print(Config.fromfile('mine.py').train_dataloader.dataset.type)"
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.stdout == 'mmsniper.ChipDataset\n', done.stderr
