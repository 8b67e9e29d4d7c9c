"""Detectors trained on chips with labels by valid range and with mmdet's own: AP at equal steps.

python benchmarks/heads.py --data shapes [--gigapixels NUMBER] [--seeds 2] [--jobs 2] [--detectors tood ...]
    [--into configs/sniper/README.md]

Each is as small as the demo's network, and sees the same chips in both ways; the learning rate of each is the best of a
few. What is done is not done again: each run is a file in results/heads/. The table is printed at the end.
"""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from dataclasses import dataclass, replace

import numpy as np
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from pages import add_pages, show
from plot_regimes import spread
from regime_configs import PARSING, Setup
from regimes import RATES, RESULTS, arguments, best_rate, one_run, pool_map, prepare, result

from mmsniper.inherit import label_by_range

WAYS = dict(rule='by valid range', plain='all objects of a chip')
WIDTH = 32
DENSE = dict(in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=2)
# A level of one cell has no statistics of single channels, which mmdet's 32 groups would be here.
NORMED = dict(DENSE, norm_cfg=dict(type='GN', num_groups=8, requires_grad=True))
NECK = dict(in_channels=[16, 32, 64, 128], out_channels=WIDTH)
# A transformer of 64 channels.
ATTENTION = dict(embed_dims=64, num_heads=4)
FFN = dict(embed_dims=64, feedforward_channels=128)


@dataclass(frozen=True)
class Detector:
    """One of mmdet's, made small.

    Attributes:
        title: In the table.
        path: Its config in mmdet.
        model: Other values of its model.
        rates: Learning rates that are tried.
        backbone: Whether it has the demo's, or its own.
    """

    title: str
    path: str
    model: dict
    rates: tuple[float, ...] = RATES
    backbone: bool = True


DETECTORS = dict(
    retinanet=Detector('RetinaNet', 'retinanet/retinanet_r50_fpn_1x_coco.py', dict(neck=NECK, bbox_head=DENSE)),
    atss=Detector('ATSS', 'atss/atss_r50_fpn_1x_coco.py', dict(neck=NECK, bbox_head=NORMED)),
    # Its budget is one long epoch, so it begins as it would go on.
    tood=Detector(
        'TOOD', 'tood/tood_r50_fpn_1x_coco.py', dict(neck=NECK, bbox_head=NORMED, train_cfg=dict(initial_epoch=0))
    ),
    rtmdet=Detector(
        'RTMDet',
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        dict(
            backbone=dict(widen_factor=0.25, init_cfg=None),
            neck=dict(in_channels=[64, 128, 256], out_channels=64),
            bbox_head=dict(in_channels=64, feat_channels=64),
        ),
        backbone=False,
    ),
    deformable_detr=Detector(
        'Deformable DETR',
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        dict(
            num_queries=100,
            with_box_refine=True,
            neck=dict(in_channels=[32, 64, 128], out_channels=64),
            encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
            decoder=dict(num_layers=3, layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN)),
            positional_encoding=dict(num_feats=32),
            bbox_head=dict(embed_dims=64),
        ),
        rates=tuple(rate / 4 for rate in RATES),
    ),
)


def main() -> None:
    """Read the arguments, search the rates, train and test what is missing, print the table."""
    parser = arguments(__doc__, RESULTS.with_name('heads'))
    parser.add_argument('--detectors', nargs='+', choices=DETECTORS, default=list(DETECTORS), help='what is trained')
    parser.add_argument('--seeds', type=int, default=2, help='runs of each')
    add_pages(parser)
    args = parser.parse_args()
    setup = prepare(args, parser.error)
    setups = {(name, way): setup_of(name, way, setup) for name in args.detectors for way in WAYS}

    def rate_of(key: tuple[str, str]) -> float:
        return best_rate('sniper', setups[key], args, DETECTORS[key[0]].rates)

    rates = dict(zip(setups, pool_map(rate_of, list(setups), args.jobs), strict=True))
    runs = [(key, seed) for seed in range(args.seeds) for key in setups]
    pool_map(lambda of: one_run('sniper', of[1], rates[of[0]], setups[of[0]], args), runs, args.jobs)
    show(table(setups, args), f'heads {args.data}', args.into)


def setup_of(name: str, way: str, setup: Setup) -> Setup:
    """The setup of a detector that is trained in a way."""
    detector = DETECTORS[name]
    with PARSING:
        model = get_config(f'mmdet::{detector.path}').model
    if detector.backbone:
        indices = model.backbone.get('out_indices', (0, 1, 2, 3))
        model.backbone = ConfigDict(copy.deepcopy(setup.cfg.model.backbone), out_indices=indices)
    cfg = copy.deepcopy(setup.cfg)
    cfg.model = model
    head = {**detector.model['bbox_head'], 'num_classes': len(setup.classes)}
    cfg.merge_from_dict(dict(model={**detector.model, 'bbox_head': head}))
    if way == 'rule':
        label_by_range(cfg.model)
    return replace(setup, network=f'{name}_{way}', cfg=cfg)


def table(setups: dict[tuple[str, str], Setup], args: Namespace) -> str:
    """What was measured, as a markdown table; the difference is that of the means."""
    ways = ' | '.join(WAYS.values())
    rows = [f'| AP at all scales | {ways} | difference |', '|---|---|---|---|']
    for name in dict.fromkeys(name for name, _ in setups):
        means, cells = [], []
        for way in WAYS:
            paths = [result(f'sniper_{seed}', setups[name, way], args) for seed in range(args.seeds)]
            aps = [json.loads(path.read_text())['marks'][-1]['tta']['AP'] for path in paths if path.exists()]
            means.append(np.mean(aps))
            cells.append(spread(aps))
        rows.append(f'| {DETECTORS[name].title} | {" | ".join(cells)} | {means[0] - means[1]:+.3f} |')
    return '\n'.join(rows)


if __name__ == '__main__':
    main()
