"""Configs of regimes.py: the ways a user has to train one detector on one data set."""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from arms import ROOT
from mmengine.config import Config, ConfigDict
from regime_data import sliced

from mmsniper.chips import ChipPlanner, scale_factor
from mmsniper.suggest import Suggestion, read_base, read_fingerprint, suggest

CONFIGS = ROOT / 'configs'
NETWORKS = dict(
    tiny=('demo/sniper_tiny_shapes.py', 8),
    r18=('sniper/sniper_faster-rcnn_r18_fpn_coco.py', 32),
    r50=('sniper/sniper_faster-rcnn_r50_fpn_coco.py', 32),
)
PLAIN = CONFIGS / 'multi_scale/single-scale_faster-rcnn_r50_fpn_coco.py'
REGIMES = dict(
    single='single scale',
    multi='several scales',
    crops='random crops',
    slices='offline slices',
    snip='SNIP',
    sniper='SNIPER',
    few_negatives='SNIPER, 1 negative chip per image',
    negatives='SNIPER, 2 negative chips per image',
    autofocus='SNIPER, 2 negative chips, AutoFocus',
)
# SNIPER's ways with negative chips, and how many of them an image has in an epoch.
NEGATIVES = dict(few_negatives=1, negatives=2, autofocus=2)
# Ways whose labels go by valid range, and whose tests do.
BY_RANGE = ('snip', 'sniper', *NEGATIVES)
# Plain multi-scale training: zooms around that of the single scale, as mmdet's 640 to 800 are around 720.
MULTI = (0.75, 0.9, 1.0, 1.15, 1.3)
# What users of mmdet take for crops (large-scale jitter, Ghiasi et al., 2021), of the single scale's size.
JITTER = (0.5, 2.0)
TTA_ZOOMS = (1.5, 1.0, 0.67)
# mmengine reads the configs of packages in a way that two threads cannot at once.
PARSING = threading.Lock()
# RoIs of a whole image, as mmdet has them; chips, crops and slices have those of a chip.
WHOLE_ROIS = 512
# A test of SNIPER's scales shows at most so many times the pixels of one of the single scale: on a CPU, a checkpoint is
# to be tested in minutes.
MOST_TEST = 3.0
# Steps over which the learning rate rises, and over which weights are averaged, of all.
WARM_UP, AVERAGED = 0.05, 0.08


@dataclass
class Setup:
    """What all regimes of a data set share.

    Attributes:
        folder: The data; see regime_data.
        network: Of NETWORKS.
        cfg: Its SNIPER config, with group norm and random weights: no regime depends on the size of its batches.
        planner: Scales, ranges and chips that ``mmsniper suggest`` chooses.
        zoom: The zoom it chooses for whole images.
        classes: Names.
        image_size: (width, height) of a typical training image.
        image_pixels: Mean size of the training images.
        by_scales: The best planner for each number of scales.
        pool: Negative chips, once they are mined.
    """

    folder: Path
    network: str
    cfg: Config
    planner: ChipPlanner
    zoom: float
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    image_pixels: float
    by_scales: dict[int, ChipPlanner]
    pool: Path | None = field(default=None)

    @property
    def step_pixels(self) -> int:
        """Network pixels of a step: those of the base's batch of chips."""
        return self.cfg.train_dataloader.batch_size * self.planner.chip_size**2

    @property
    def slice_size(self) -> int:
        """Side of a slice in the image, which the single scale's zoom makes as large as a chip."""
        return round(self.planner.chip_size / self.zoom)


def set_up(folder: Path, network: str) -> Setup:
    """Fit a network to a data set; scales by ``mmsniper suggest``.

    Args:
        folder: The data.
        network: Of NETWORKS.
    """
    path, _ = NETWORKS[network]
    base, data = read_base(str(CONFIGS / path)), read_fingerprint(str(folder / 'train.json'))
    found = suggest(data, base)
    # Whole images in one zoom: those of a data set here are alike in size.
    zoom = float(np.median([scale_factor(found.single_scale, *size) for size in data.table.sizes.tolist()]))
    cfg = base.cfg
    group_norm(cfg.model, network)
    cfg.model.roi_head.bbox_head.num_classes = len(data.classes)
    sizes = data.table.sizes
    by_scales = {n: planner for n, (planner, _) in sorted(found.by_scales.items())}
    size, pixels = tuple(sizes[0].tolist()), float(sizes.prod(1).mean())
    planner = affordable(found)
    return Setup(folder, network, cfg, planner, zoom, data.classes, size, pixels, by_scales)


def affordable(found: Suggestion) -> ChipPlanner:
    """What is suggested; if its test takes too long here, the best of those whose test does not, which is said."""
    quick = [(planner, score) for planner, score in found.by_scales.values() if score.test_pixels <= MOST_TEST]
    if any(planner is found.planner for planner, _ in quick):
        return found.planner
    planner, _ = max(quick, key=lambda pair: pair[1].total)
    print(f'{planner.scales} in place of the suggested {found.planner.scales}, whose tests are long')
    return planner


def group_norm(model: ConfigDict, network: str) -> None:
    """Give a detector's backbone group norm and random weights."""
    norm = dict(type='GN', num_groups=NETWORKS[network][1], requires_grad=True)
    model.backbone.update(norm_cfg=norm, norm_eval=False, frozen_stages=-1, init_cfg=None)


def config_of(regime: str, setup: Setup, pixels: float, lr: float, seed: int) -> Config:
    """The training and test config of a run.

    Args:
        regime: Of REGIMES.
        setup: Of :func:`set_up`.
        pixels: Network pixels that the run goes through.
        lr: Learning rate.
        seed: Of everything random.
    """
    cfg = copy.deepcopy(setup.cfg)
    steps = max(round(pixels / (_chips if regime in BY_RANGE else _plain)(cfg, regime, setup)), 1)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.pop('prefetch_factor', None)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=10**7, val_interval=10**7)  # the budget ends it
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    warm_up = max(round(WARM_UP * steps), 1)
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warm_up)]
    optimizer = dict(type='AdamW', lr=lr, weight_decay=0.05)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=optimizer, clip_grad=dict(max_norm=10))
    # At a constant rate the mean of the last weights is what an annealed rate would give, at any point of the run.
    cfg.custom_hooks = [dict(type='EMAHook', momentum=min(1 / (AVERAGED * steps), 0.5))]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1, by_epoch=False)
    cfg.default_hooks.config_check = dict(type='mmsniper.ConfigCheckHook', enabled=False)
    cfg.default_hooks.chip_monitor = None
    cfg.default_hooks = {name: hook for name, hook in cfg.default_hooks.items() if hook}
    cfg.log_processor = dict(by_epoch=False)
    cfg.randomness = dict(seed=seed)
    _tests(cfg, setup)
    return cfg


def coco(setup: Setup, folder: Path, split: str, **settings: object) -> dict:
    """A COCO data set's config."""
    return dict(
        type='CocoDataset',
        ann_file=f'{folder}/{split}.json',
        data_prefix=dict(img=f'{folder}/{split}/'),
        metainfo=dict(classes=setup.classes),
        **settings,
    )


def _chips(cfg: Config, regime: str, setup: Setup) -> float:
    """SNIPER's and SNIP's data; network pixels of a step."""
    chips = cfg.train_dataloader.dataset
    chips.dataset = coco(setup, setup.folder, 'train', filter_cfg=dict(filter_empty_gt=False))
    cfg.tta_model.tta_cfg.update(scales='planner', ranges='planner')
    planner = setup.planner
    written = dict(scales=planner.scales, valid_ranges=[tuple(pair) for pair in planner.settings['valid_ranges']])
    if regime == 'snip':
        chips.planner = dict(type='PyramidPlanner', **written)
        # Views of an image differ in size: one at a time, or a batch is padded to the largest.
        cfg.train_dataloader.update(batch_size=1, batch_sampler=None)
        cfg.model.train_cfg.rcnn.sampler.num = WHOLE_ROIS
        return setup.image_pixels * float(
            np.mean([scale_factor(scale, *setup.image_size) ** 2 for scale in planner.scales])
        )
    chips.planner = dict(**written, chip_size=planner.chip_size, stride=planner.stride)
    if regime in NEGATIVES:
        chips.negatives = dict(ann_file=str(setup.pool), per_image=NEGATIVES[regime])
    if regime == 'autofocus':
        channels = cfg.model.neck.out_channels
        cfg.model.update(
            type='mmsniper.WithFocus', detector=cfg.model.type, focus_head=dict(stride=16, feat_channels=channels)
        )
    return setup.step_pixels


def _plain(cfg: Config, regime: str, setup: Setup) -> float:
    """The data of mmdet's own ways, its labels and samplers; network pixels of a step.

    What would cost them AP in so short a training is left out (ablations.py): no crop or slice is without objects, and
    the RPN has the IoU thresholds that suit the network's anchors.
    """
    with PARSING:
        plain = Config.fromfile(PLAIN)
    rpn, ours = copy.deepcopy(plain.model.train_cfg.rpn), cfg.model.train_cfg.rpn.assigner
    rpn.assigner.update(pos_iou_thr=ours.pos_iou_thr, neg_iou_thr=ours.neg_iou_thr)
    proposals = dict(plain.model.train_cfg.rpn_proposal, nms_pre=cfg.model.train_cfg.rpn_proposal.nms_pre)
    rcnn = copy.deepcopy(plain.model.train_cfg.rcnn)
    chip, zoom = setup.planner.chip_size, setup.zoom
    folder = setup.folder
    pixels = setup.image_pixels * zoom**2
    if regime == 'single':
        resize = [dict(type='Resize', scale_factor=zoom, keep_ratio=True)]
    elif regime == 'multi':
        resize = [dict(type='RandomChoiceResize', resize_type='Resize', scales=_edges(setup, MULTI), keep_ratio=True)]
        pixels *= float(np.mean(np.square(MULTI)))
    elif regime == 'crops':
        resize = [
            dict(type='RandomResize', scale=_edges(setup, (1.0,))[0], ratio_range=JITTER, keep_ratio=True),
            dict(type='RandomCrop', crop_size=(chip, chip), allow_negative_crop=False),
        ]
    else:
        folder = sliced(setup.folder, setup.slice_size)
        resize = [dict(type='Resize', scale=(chip, chip), keep_ratio=True)]
    if regime in ('crops', 'slices'):
        pixels = chip**2
        rcnn.sampler.num = setup.cfg.model.train_cfg.rcnn.sampler.num  # as many per pixel as ours
    batch = max(round(setup.step_pixels / pixels), 1)
    cfg.model.train_cfg = ConfigDict(rpn=rpn, rpn_proposal=proposals, rcnn=rcnn)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        *resize,
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackDetInputs'),
    ]
    filter_cfg = dict(filter_empty_gt=regime == 'slices')
    cfg.train_dataloader = ConfigDict(
        batch_size=batch,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=coco(setup, folder, 'train', filter_cfg=filter_cfg, pipeline=pipeline),
    )
    cfg.tta_model.tta_cfg.update(scales=[round(zoom * factor, 3) for factor in TTA_ZOOMS], ranges=None)
    return batch * pixels


def _tests(cfg: Config, setup: Setup) -> None:
    """One scale, and views; SAHI is asked by regimes.py."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale_factor=setup.zoom, keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
    ]
    cfg.test_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=coco(setup, setup.folder, 'val', test_mode=True, pipeline=pipeline),
    )
    cfg.test_evaluator = dict(type='mmsniper.CocoMetric', metric='bbox', ann_file=f'{setup.folder}/val.json')
    cfg.test_cfg = dict(type='TestLoop')


def _edges(setup: Setup, factors: tuple[float, ...]) -> list[tuple[int, int]]:
    """(long edge, short edge) of the single scale times these factors."""
    sides = sorted(setup.image_size, reverse=True)
    return [tuple(math.ceil(side * setup.zoom * factor) for side in sides) for factor in factors]
