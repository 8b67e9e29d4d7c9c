"""What the walk cannot see, because it shrinks: widths that fit, planners that plan, labels, names of weights."""

import json
import re
from pathlib import Path

import mmengine
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from shrink import dicts
from test_all_configs import CONFIGS, NAMES, _torchvision  # noqa: F401

from mmsniper.chips import build_planner
from mmsniper.inherit import KEPT

# Heads with layers that run on no such device.
OF_DEFORMED = ('TOOD', 'ValidRangeVFNet')
HUB = json.loads((Path(mmengine.__file__).parent / 'hub/openmmlab.json').read_text())


@pytest.fixture
def _no_weights(monkeypatch):
    """Only shapes are looked at: weights need not be drawn, and batch norm on a device without numbers takes long."""
    for draw in ('uniform_', 'normal_'):
        monkeypatch.setattr(torch.Tensor, draw, lambda self, *_, **__: self)

    def as_wide(x, mean, *_, **__):
        assert len(mean) == x.shape[1]
        return x

    monkeypatch.setattr(torch.nn.functional, 'batch_norm', as_wide)


@pytest.mark.usefixtures('_torchvision', '_no_weights')
@pytest.mark.parametrize('name', NAMES)
def test_a_config_fits_together(name):
    cfg = Config.fromfile(next(CONFIGS.rglob(f'{name}.py')))
    check_weights(cfg)
    check_widths(cfg)
    if 'ChipDataset' in str(cfg.train_dataloader):
        check_planner(cfg)
        check_labels(cfg)
    norm = cfg.model.backbone.get('norm_cfg') or {}
    if norm.get('type') == 'BN' and cfg.train_dataloader.batch_size < 8:
        assert cfg.model.backbone.norm_eval, 'statistics of few images'


def check_weights(cfg):
    """They exist, and are of a network as deep."""
    checkpoint = (cfg.model.backbone.get('init_cfg') or {}).get('checkpoint', '')
    assert bool(checkpoint) == (not re.search('scratch|tiny|yolox|rtmdet_l', cfg.filename))
    kind, _, weights = checkpoint.partition('://')
    assert kind != 'open-mmlab' or weights in HUB
    depth = re.search(r'(?:resnet|resnext|res2net)(\d+)', weights)
    assert depth is None or int(depth[1]) == cfg.model.backbone.depth


def check_widths(cfg):
    """Backbone, neck and heads take what they are given, at full width; on the device that computes shapes alone."""
    for node in dicts(cfg.model):
        if 'dcn' in node:  # runs on no such device, and is as wide as the plain layer
            node.dcn = None
    model = MODELS.build(cfg.model).to('meta')
    levels = model.extract_feat(torch.zeros(2, 3, 256, 256, device='meta'))
    if hasattr(model, 'encoder'):
        assert {level.shape[1] for level in levels} == {model.embed_dims}
        return
    dense = getattr(model, 'rpn_head', None) or model.bbox_head
    if not dense.__class__.__name__.startswith(OF_DEFORMED):
        dense(levels)
    roi_head = getattr(model, 'roi_head', None)
    if roi_head is None or roi_head.with_shared_head:
        return
    for part, extractor in (('bbox_head', 'bbox_roi_extractor'), ('mask_head', 'mask_roi_extractor')):
        heads, extractors = getattr(roi_head, part, None), getattr(roi_head, extractor, None)
        several = isinstance(heads, torch.nn.ModuleList)
        for head, extract in zip(heads, extractors, strict=True) if several else [(heads, extractors)] if heads else []:
            assert {level.shape[1] for level in levels} == {extract.out_channels}
            head(torch.zeros(1, extract.out_channels, *extract.roi_layers[0].output_size, device='meta'))


def check_planner(cfg):
    """One recipe, which plans."""
    (planner,) = [node for node in dicts(cfg.train_dataloader) if 'valid_ranges' in node]
    build_planner(planner)


def check_labels(cfg):
    """Every part that labels or mixes knows the valid ranges."""
    types = [node.get('type') or '' for node in dicts(cfg.model)]
    if not any(re.fullmatch(r'mmsniper\.ValidRange\w+Head', kind) for kind in types):
        labelling = [kind for kind in types if kind.endswith('Assigner') or kind == 'mmsniper.ValidRange']
        assert labelling
        assert all(kind.startswith('mmsniper.ValidRange') for kind in labelling), labelling
    stages = [node for node in dicts((cfg.model.get('train_cfg') or {}).get('rcnn') or []) if 'sampler' in node]
    assert all(stage.sampler.type == 'mmsniper.ValidRangeSampler' for stage in stages)
    for node in dicts(cfg.train_dataloader):
        if node.get('type') == 'MultiImageMixDataset':
            assert all(step.type.startswith('mmsniper.') or step.type in KEPT for step in node.pipeline)
    rpn = (cfg.model.get('train_cfg') or {}).get('rpn')
    assert rpn is None or rpn.allowed_border == -1, 'chips are cut anywhere: anchors across their border count'
