"""Makes a config small enough for a test (narrow networks, small chips, three images), and tries it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from formats import classes_of, write
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

WIDTH, CHIP = 64, 128
CONVNEXT = dict(arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32]))
BACKBONES = {
    'ResNet': dict(base_channels=8, stem_channels=8),
    'ResNeXt': dict(base_channels=8, stem_channels=8, groups=4, base_width=4),
    'Res2Net': dict(base_channels=8, stem_channels=8, base_width=4),
    'RegNet': dict(arch=dict(w0=8, wa=8.0, wm=2.0, group_w=8, depth=6, bot_mul=1.0)),
    'MobileNetV2': dict(widen_factor=0.25),
    'HRNet': {},
    'CSPNeXt': dict(widen_factor=0.125, deepen_factor=0.2),
    'CSPDarknet': dict(widen_factor=0.125, deepen_factor=0.2),
    'SwinTransformer': dict(embed_dims=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
    'mmpretrain.ConvNeXt': CONVNEXT,
    'PyramidVisionTransformerV2': dict(embed_dims=8, num_layers=[1, 1, 1, 1]),
}
WIDTHS = ('feat_channels', 'fc_out_channels', 'conv_out_channels', 'out_channels', 'in_channels')


def shrink(cfg: Config, root: Path) -> None:
    """Change a config in place, and write its data below `root`."""
    shrink_model(cfg.model)
    shrink_data(cfg, root)
    if 'tta_model' in cfg:
        tta = cfg.tta_model.tta_cfg
        if tta.scales != 'planner':
            tta.scales = [1.5, 1.0, (96, 96)][-len(tta.scales) :]
    cfg.update(work_dir=str(root / 'work'), visualizer=None, log_level='WARNING')


def dicts(node: object) -> Iterator[dict]:
    """All dicts in a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from dicts(child)


def shrink_model(model: ConfigDict) -> None:
    """Narrow layers and random weights; what joins the parts is measured, not copied."""
    for node in dicts(model):
        if 'checkpoint' in (node.get('init_cfg') or {}):
            node['init_cfg'] = None
    backbone, shared = model.backbone, model.get('roi_head', {}).get('shared_head')
    if not shared:  # whose width is that of a whole ResNet-50
        backbone.update(BACKBONES[backbone.type])
    if (backbone.get('norm_cfg') or {}).get('type') == 'GN':
        backbone.update(base_channels=WIDTH // 2, stem_channels=WIDTH // 2)
    for stage in (backbone.get('extra') or {}).values():
        stage.num_channels = tuple(channels // 8 for channels in stage.num_channels)
        stage.num_blocks = (1,) * len(stage.num_blocks)
    with torch.no_grad():
        channels = [level.shape[1] for level in MODELS.build(backbone)(torch.zeros(2, 3, 64, 64))]
    width = 256 if 'encoder' in model else WIDTH
    heads = [model[name] for name in ('rpn_head', 'roi_head', 'bbox_head') if name in model]
    for node in dicts(heads) if not shared else ():
        node.update({key: WIDTH for key in WIDTHS if isinstance(node.get(key), int)})
    if 'neck' in model:
        model.neck.update(in_channels=channels, out_channels=width)
    narrow(model)
    train, test = model.get('train_cfg') or {}, model.get('test_cfg') or {}
    many = any(node.get('num_classes', 0) > 400 for node in dicts(model))
    for kept in (train.get('rpn_proposal'), test.get('rpn'), test.get('rcnn')):
        if kept:
            # With more boxes times classes than 10,000, mmcv suppresses class by class.
            kept.max_per_img = 8 if shared or many else 20


def narrow(model: ConfigDict) -> None:
    """Transformers of two layers and 30 queries, without dropout; 256 channels are what mmdet encodes positions in."""
    if 'encoder' not in model:
        return
    sizes = dict(feedforward_channels=32, num_layers=2, num_dn_queries=10)
    for node in dicts(model):
        node.update({key: size for key, size in sizes.items() if key in node})
        node.update({key: 0.0 for key in ('dropout', 'ffn_drop', 'attn_drop', 'proj_drop') if key in node})
    model.num_queries = 30


def shrink_data(cfg: Config, root: Path) -> None:
    """Three images in place of the data sets, chips of 128 px, two per batch."""
    found = {}
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        if loader is None:
            continue
        workers = dict(num_workers=0, persistent_workers=False)
        loader.update(workers, batch_size=min(loader.batch_size, 2))
        for node in dicts(loader.dataset):
            if 'ann_file' in node and node.get('type', '').endswith('Dataset'):
                found = write(node.type, classes_of(node), root / node.type)
                node.update(found)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if evaluator is not None and 'ann_file' in evaluator:
            evaluator.ann_file = found['data_root'] + found['ann_file']
        if evaluator is not None and evaluator.type == 'LVISMetric':
            # The lvis package takes a minute for its 1203 classes, and an older numpy.
            evaluator.update(format_only=True, outfile_prefix=str(root / 'found'))
        if evaluator is not None and 'out_file' in evaluator:
            evaluator.out_file = str(root / 'pool.npz')
    n_scales = 0
    for node in dicts(cfg._cfg_dict):
        if 'valid_ranges' in node:
            n_scales = len(node['scales'])
            node['scales'] = [2.0, 1.0, (CHIP, CHIP)][-n_scales:]
            node['valid_ranges'] = [(None, 40), (30, 90), (70, None)][-n_scales:]
            node['valid_ranges'][0] = (None, node['valid_ranges'][0][1])
            if 'chip_size' in node:
                node.update(chip_size=CHIP, stride=16)
        if str(node.get('type')).endswith('MixedSizeBatchSampler'):
            # Few steps: one size, or one per epoch.
            node['sizes'] = [[(64, 1.0)], [(CHIP, 1.0)]] if 'schedule' in node else [(64, 1.0)]
        for key in ('img_scale', 'crop'):
            if key in node:
                node[key] = (CHIP, CHIP)
        if node.get('type') == 'RandomChoiceResize':
            node['scales'] = [(160, 120), (200, 150)]
        if node.get('type') == 'Resize' and node.get('scale') == (1333, 800):
            node['scale'] = (200, 150)
    if 'negatives' in cfg.train_dataloader.dataset:
        cfg.train_dataloader.dataset.negatives = None  # mined by another stage


def train_and_detect(cfg: Config, handler: logging.Handler | None = None) -> None:
    """A training step of a shrunk config, as its runner does it, and its test on views; `handler` gets the log."""
    torch.manual_seed(0)
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':  # wants a GPU
        cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer)
    runner = Runner.from_cfg(cfg)
    if handler:
        runner.logger.addHandler(handler)
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert runner.build_param_scheduler(runner.param_schedulers)
    runner._init_model_weights()
    batch = next(iter(loop.dataloader))
    samples = batch['data_samples']
    assert len(samples) == len(next(iter(loop.dataloader.batch_sampler)))
    assert len(samples) >= cfg.train_dataloader.batch_size
    if 'ChipDataset' in str(cfg.train_dataloader):
        assert all('valid' in sample.gt_instances for sample in samples)
    runner.message_hub.update_info('epoch', 0)  # which TOOD asks for
    before = [parameter.detach().clone() for parameter in runner.model.parameters()]
    losses = runner.model.train_step(batch, runner.optim_wrapper)
    assert all(torch.isfinite(value).all() for value in losses.values())
    masks = 'mask_head' in cfg.model.get('roi_head', {}) or 'Ins' in cfg.model.get('bbox_head', {}).get('type', '')
    assert ('loss_mask' in ' '.join(losses)) == masks
    assert any(not torch.equal(a, b) for a, b in zip(before, runner.model.parameters(), strict=True))

    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    Runner.from_cfg(cfg).test()
