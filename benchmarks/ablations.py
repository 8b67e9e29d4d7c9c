"""The recipe's settings, one changed at a time: AP at equal network pixels, on the images and networks of regimes.py.

python benchmarks/ablations.py --data hituav --source FOLDER [--network tiny] [--gigapixels N] [--seeds 2] [--jobs 2]
    [--only base visible_30 ...] [--into docs/measured.md]

A run goes through a third of regimes.py's pixels, at the rate that was found there for its way to train (searched if
it was not), times the square root of the batch's share where that differs. What is done is not done again: each run is
a file in results/ablations/. The table is printed at the end, with --only base at once if all is there.
"""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from pages import add_pages, show
from plot_regimes import spread
from regime_configs import REGIMES, WHOLE_ROIS, Setup, config_of
from regime_pool import mine
from regime_train import MARKS
from regimes import RATES, RESULTS, arguments, best_rate, measured, pool_map, prepare, train

from mmsniper.chips import ChipPlanner, scale_factor

SHARE = 1 / 3
VISIBLE = 'train_dataloader.dataset.pipeline.2.min_visible'
RPN, RCNN = 'model.train_cfg.rpn.assigner', 'model.train_cfg.rcnn.assigner'
PLAIN_RPN = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.3, match_low_quality=True)
# mmdet's.
THRESHOLDS = {f'{RPN}.pos_iou_thr': 0.7, f'{RPN}.neg_iou_thr': 0.3}
SAMPLER = 'model.train_cfg.rcnn.sampler'
ROIS = f'{SAMPLER}.num'
PLAIN_SAMPLER = dict(type='RandomSampler', pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True)
NORM = 'model.backbone.norm_cfg'
BATCH_NORM = {NORM: dict(_delete_=True, type='BN', requires_grad=True)}


@dataclass(frozen=True)
class Variant:
    """A way to train that differs in one thing.

    Attributes:
        title: In the table.
        planner: Other arguments of the planner.
        batch: Chips per step, if not as many as go through as many pixels.
        options: Other values of the config.
        negatives: Negative chips per image and epoch.
        regime: Another way to train, of regimes.py.
        zoom: Another zoom than the suggested one of those that have one.
    """

    title: str
    planner: dict = field(default_factory=dict)
    batch: int | None = None
    options: dict = field(default_factory=dict)
    negatives: int = 0
    regime: str = 'sniper'
    zoom: float | None = None


def variants(setup: Setup) -> dict[str, Variant]:
    """All of them for a data set, by name."""
    side, stride = setup.planner.chip_size, setup.planner.stride
    rois = setup.cfg.model.train_cfg.rcnn.sampler.num
    finest = max(scale_factor(scale, *setup.image_size) for scale in setup.planner.scales)
    plain = {}
    for regime in ('single', 'crops', 'slices'):
        title = REGIMES[regime]
        plain[regime] = Variant(title, regime=regime)
        plain[f'{regime}_iou'] = Variant(f'{title}, RPN: IoU 0.7 and 0.3', regime=regime, options=THRESHOLDS)
    found = dict(
        base=Variant('as suggested'),
        visible_30=Variant('objects valid from 30 % in view, not 50 %', options={VISIBLE: 0.3}),
        visible_90=Variant('objects valid from 90 % in view', options={VISIBLE: 0.9}),
        best_chip=Variant(
            "one chip per object and scale (the authors' rule)",
            options={'train_dataloader.dataset.assign': 'best_chip'},
        ),
        labels=Variant(
            "all objects of a chip are learnt (mmdet's assigners)",
            # Its RPN proposes objects of all sizes at each scale, so that the usual 300 would leave good ones out.
            options={
                RPN: dict(PLAIN_RPN, _delete_=True),
                f'{RCNN}.type': 'MaxIoUAssigner',
                'model.test_cfg.rpn': dict(nms_pre=1000, max_per_img=1000),
            },
        ),
        iou=Variant('RPN: IoU 0.7 and 0.3, not 0.5 and 0.4', options=THRESHOLDS),
        **plain,
        crops_empty=Variant(
            'random crops, those without an object as they fall',
            regime='crops',
            options={'train_dataloader.dataset.pipeline.3.allow_negative_crop': True},
        ),
        slices_empty=Variant(
            'offline slices, those without an object as they fall',
            regime='slices',
            options={'train_dataloader.dataset.filter_cfg.filter_empty_gt': False},
        ),
        crops_fine=Variant(f"random crops around SNIPER's finest zoom, {finest:g}", regime='crops', zoom=finest),
        single_fine=Variant(f"single scale, SNIPER's finest zoom, {finest:g}", regime='single', zoom=finest),
        slices_rois=Variant(
            f"offline slices, mmdet's {WHOLE_ROIS} RoIs of a sample, not {rois}",
            regime='slices',
            options={ROIS: WHOLE_ROIS},
        ),
        sampler=Variant(
            "RoIs at random (mmdet's sampler), not the best proposals",
            options={SAMPLER: dict(PLAIN_SAMPLER, num=rois, _delete_=True)},
        ),
        rois_half=Variant(f'{rois // 2} RoIs per chip, not {rois}', options={ROIS: rois // 2}),
        rois_double=Variant(f'{2 * rois} RoIs per chip', options={ROIS: 2 * rois}),
        stride=Variant(f'stride {2 * stride:g}, not {stride:g}', planner=dict(stride=2 * stride)),
        small_chips=Variant(f'chips of {side * 3 // 4} px, not {side}', planner=dict(chip_size=side * 3 // 4)),
        large_chips=Variant(f'chips of {side * 3 // 2} px', planner=dict(chip_size=side * 3 // 2)),
        coarsest=Variant(
            'the coarsest of its scales alone',
            planner=dict(scales=list(setup.planner.scales[-1:]), valid_ranges=[(0, None)]),
        ),
        batch_2=Variant('two chips per step', batch=2),
        slices_batch_2=Variant(f'{REGIMES["slices"]}, two per step', regime='slices', batch=2),
        batch_norm=Variant('batch norm, not group norm', options=BATCH_NORM),
        batch_norm_2=Variant('batch norm, two chips per step', batch=2, options=BATCH_NORM),
        frozen_2=Variant(
            'batch norm as it starts, two chips per step',
            batch=2,
            options={**BATCH_NORM, 'model.backbone.norm_eval': True},
        ),
        autofocus=Variant(
            "AutoFocus's branch beside it, which the test does not use",
            options={
                'model.type': 'mmsniper.WithFocus',
                'model.detector': setup.cfg.model.type,
                'model.focus_head': dict(stride=16, feat_channels=setup.cfg.model.neck.out_channels),
            },
        ),
        **{
            f'negatives_{n}': Variant(f'{n} negative chip{"s" * (n > 1)} per image and epoch', negatives=n)
            for n in (1, 2, 4)
        },
    )
    for n, planner in setup.by_scales.items():
        if n != len(setup.planner.scales):
            found[f'scales_{n}'] = Variant(
                f'{n} scale{"s" * (n > 1)}, not {len(setup.planner.scales)}', planner=planner.settings
            )
    return found


def main() -> None:
    """Read the arguments, train and test what is missing, print the table."""
    parser = arguments(__doc__)
    parser.add_argument('--only', nargs='+', metavar='NAME', help='some of the settings')
    parser.add_argument('--seeds', type=int, default=2, help='runs of each')
    add_pages(parser)
    args = parser.parse_args()
    setup = prepare(args, parser.error)
    chosen = variants(setup)
    if unknown := set(args.only or ()) - set(chosen):
        parser.error(f'--only: no {sorted(unknown)}; there are {sorted(chosen)}')
    names = args.only or list(chosen)
    if any(chosen[name].negatives for name in names):
        setup.pool = mine(setup, args, RATES[2])
    rates = {regime: best_rate(regime, setup, args) for regime in {chosen[name].regime for name in names}}
    runs = [(name, seed) for seed in range(args.seeds) for name in names]
    pool_map(lambda pair: one_run(*pair, chosen[pair[0]], rates[chosen[pair[0]].regime], setup, args), runs, args.jobs)
    titles = {name: variant.title for name, variant in chosen.items()}
    show(table(titles, args), f'ablations {args.data}', args.into)


def one_run(name: str, seed: int, variant: Variant, rate: float, setup: Setup, args: Namespace) -> None:
    """Train and test, unless it is done; write what was measured."""
    path = result(name, seed, args)
    if path.exists():
        return
    pixels = SHARE * args.gigapixels * 1e9
    cfg, rate = varied(variant, setup, pixels, rate, seed)
    out = args.work_dir / f'ablation_{path.stem}'
    marks = train(cfg, out, pixels)
    figures = {
        key: measured(out, f'mark_{MARKS}.pth', options, setup) for key, options in dict(one=[], tta=['--tta']).items()
    }
    about = dict(data=args.data, network=args.network, name=name, title=variant.title, seed=seed, rate=rate)
    planner = cfg.train_dataloader.dataset.get('planner')  # crops have none
    batch = cfg.train_dataloader.batch_size
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(**about, planner=planner, batch=batch, **marks[-1], **figures), indent=1) + '\n')


def varied(variant: Variant, setup: Setup, pixels: float, rate: float, seed: int) -> tuple[Config, float]:
    """Config of a run, and its learning rate."""
    planner = ChipPlanner(**{**setup.planner.settings, **variant.planner})
    own = replace(setup, cfg=copy.deepcopy(setup.cfg), planner=planner, zoom=variant.zoom or setup.zoom)
    batch = variant.batch or round(setup.step_pixels / planner.chip_size**2)
    rate *= (batch / setup.cfg.train_dataloader.batch_size) ** 0.5
    own.cfg.train_dataloader.batch_size = batch
    cfg = config_of('negatives' if variant.negatives else variant.regime, own, pixels, rate, seed)
    if variant.negatives:
        cfg.train_dataloader.dataset.negatives.per_image = variant.negatives
    cfg.merge_from_dict(variant.options)
    return cfg, rate


def result(name: str, seed: int, args: Namespace) -> Path:
    """Where a run's figures are."""
    return RESULTS.with_name('ablations') / f'{args.data}_{args.network}_{args.gigapixels:g}g_{name}_{seed}.json'


def table(titles: dict[str, str], args: Namespace) -> str:
    """What was measured, as a markdown table; the difference is that of the means."""
    rows = [
        '| changed | seeds | images per step | AP, `--tta` | AP small | against as suggested |',
        '|---|---|---|---|---|---|',
    ]
    paths = {name: [result(name, seed, args) for seed in range(9)] for name in ('base', *titles)}
    found = {name: [json.loads(path.read_text()) for path in of if path.exists()] for name, of in paths.items()}
    usual = [run['tta']['AP'] for run in found['base']]
    for name, title in titles.items():
        runs = found[name]
        if not runs:
            continue
        aps = [run['tta']['AP'] for run in runs]
        small = np.mean([run['tta']['AP_small'] for run in runs])
        cells = [len(runs), runs[0]['batch'], spread(aps), f'{small:.3f}']
        cells.append(f'{np.mean(aps) - np.mean(usual):+.3f}' if usual else '')
        rows.append(f'| {title} | {" | ".join(map(str, cells))} |')
    return '\n'.join(rows)


if __name__ == '__main__':
    main()
