"""One size of chips against mixed sizes, with batch norm: AP at other test scales, time to an AP, and calibration.

python benchmarks/mixed_sizes.py --data hituav --source FOLDER [--network tiny] [--gigapixels NUMBER] [--seeds 3]
    [--jobs 2] [--arms fixed b b+ d+ decreasing] [--val NUMBER] [--into docs/mixed_sizes.md]

Images, scales and network are those of regimes.py, but with batch norm and mmdet's PhotoMetricDistortion; a run is
measured at each quarter of its pixels. Steps have the same pixels in all arms but two: those of 'b' have 1.12 times as
many on average, so that it makes fewer, and the small ones of 'decreasing' have fewer, so that it makes more. All arms
have the rate that the search of regimes.py finds for SNIPER; with 'b+' it follows the batch by the root. In the end a
run is tested at several zooms, and at each again with batch norm calibrated for it. What is done is not done again:
each run is a file in results/mixed_sizes/. Tables are printed, and a picture drawn, at the end.
"""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from pathlib import Path

import matplotlib
import numpy as np
from ablations import BATCH_NORM
from arms import ROOT, run
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pages import add_pages, show
from plot_regimes import at, spread
from regime_configs import Setup, config_of
from regime_train import MARKS
from regimes import RESULTS, arguments, best_rate, config_file, measured, pool_map, prepare, train

import mmsniper.registry  # noqa: F401  types of ours need no custom_imports
from mmsniper.datasets.size_mix import fitting_batch

matplotlib.use('agg')
from matplotlib import pyplot

ARMS = dict(
    fixed='one size',
    b='B, as many chips',
    **{'b+': 'B+, more small ones', 'd+': 'D+, copies of small ones'},
    decreasing='decreasing resolution',
)
COLOURS = dict(zip(ARMS, ('#777777', '#cc8800', '#4477aa', '#aa3377', '#117733'), strict=True))
# Of the planner's size, and their shares of the steps; of it, the low resolution.
SIZES, SHARES, LOW = (0.75, 1.0, 1.5), (0.3, 0.5, 0.2), 0.5
TEST_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
# Chips that statistics are taken of.
CALIBRATED = 256
# The AP whose time is taken, of what one size has in the end.
TARGET = 0.9


def main() -> None:
    """Read the arguments, train and test what is missing, print the tables, draw."""
    parser = arguments(__doc__)
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=list(ARMS), help='what is compared')
    parser.add_argument('--seeds', type=int, default=3, help='runs of each; 0 = show what there is')
    add_pages(parser)
    args = parser.parse_args()
    setup = prepare(args, parser.error)
    rate = best_rate('sniper', setup, args)
    runs = [(arm, seed) for seed in range(args.seeds) for arm in args.arms]
    pool_map(lambda pair: one_run(*pair, rate, setup, args), runs, args.jobs)
    found = {arm: read(arm, args) for arm in ARMS}
    found = {arm: of for arm, of in found.items() if of}
    text = tables(found)
    if 'fixed' in found:
        text += f'\n\n{times(found)}'
    counts = (f'{ARMS[arm]}: {len(of)}' for arm, of in found.items())
    show(f'{text}\n\nSeeds: {"; ".join(counts)}.', f'mixed sizes {args.data}', args.into)
    path = result('all', 0, args).with_name(f'{args.data}_{args.network}_{args.gigapixels:g}g.png')
    draw(found, path)
    print(f'\nWrote {path}')


def one_run(arm: str, seed: int, rate: float, setup: Setup, args: Namespace) -> None:
    """Train and test, unless it is done; write what was measured."""
    path = result(arm, seed, args)
    if path.exists():
        return
    pixels = args.gigapixels * 1e9
    cfg = arm_config(arm, setup, pixels, rate, seed)
    out = args.work_dir / f'mixed_{path.stem}'
    marks = train(cfg, out, pixels)
    for mark in marks:
        mark['one'] = measured(out, f'mark_{mark["mark"]}.pth', [], setup)
    last = f'mark_{MARKS}.pth'
    scales, calibrated = {}, {}
    for factor in TEST_SCALES:
        zoom = round(setup.zoom * factor, 4)
        scales[factor] = test_at(out, last, zoom, setup)
        anew = out / f'calibrated_{factor:g}.pth'
        if not anew.exists():
            options = ['--zoom', zoom, '--chips', CALIBRATED, '--out', anew]
            run([ROOT / 'tools/calibrate_bn.py', config_file(out), out / last, *options], out / 'log.txt')
        calibrated[factor] = test_at(out, anew.name, zoom, setup)
        anew.unlink()
    batches = cfg.train_dataloader.batch_sampler.to_dict()
    about = dict(data=args.data, network=args.network, arm=arm, seed=seed, rate=rate, gigapixels=args.gigapixels)
    settings = dict(planner=setup.planner.settings, zoom=setup.zoom, batch=cfg.train_dataloader.batch_size)
    aps = dict(marks=marks, scales=scales, calibrated=calibrated)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(**about, **settings, batches=batches, **aps), indent=1) + '\n')


def arm_config(arm: str, setup: Setup, pixels: float, rate: float, seed: int) -> Config:
    """Config of a run: SNIPER's of regimes.py with batch norm, and sizes as the arm has them."""
    own = copy.copy(setup)
    own.cfg = copy.deepcopy(setup.cfg)
    side = setup.planner.chip_size
    sizes = [max(round(factor * side / 32), 1) * 32 for factor in SIZES]
    own.cfg.train_dataloader.batch_size = batch = batch_of(own.cfg.train_dataloader.batch_size, sizes, side)
    cfg = config_of('sniper', own, pixels, rate * (batch / setup.cfg.train_dataloader.batch_size) ** 0.5, seed)
    cfg.merge_from_dict(BATCH_NORM)
    # Statistics are averaged as weights are; or calibration would mend that the ones are not the others', too.
    cfg.custom_hooks[0].update_buffers = True
    # Copies differ by more than a flip; so do the chips of all arms.
    cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type='PhotoMetricDistortion'))
    if arm == 'fixed':
        return cfg
    batches = dict(
        type='mmsniper.MixedSizeBatchSampler', regime=arm.upper(), sizes=list(zip(sizes, SHARES, strict=True))
    )
    if arm == 'decreasing':
        low = max(round(LOW * side / 32), 1) * 32
        # Half of the epochs, on average, have the low resolution.
        pixels_per_epoch = chips_per_epoch(cfg) * (low**2 + side**2) / 2
        schedule = dict(type='decreasing', epochs=max(round(pixels / pixels_per_epoch), 2))
        batches.update(regime='B', sizes=[[(low, 1.0)], [(side, 1.0)]], schedule=schedule)
    cfg.train_dataloader.batch_sampler = batches
    if arm == 'b+':
        cfg.custom_hooks.append(dict(type='mmsniper.BatchRateHook', rule='sqrt'))
    return cfg


def batch_of(least: int, sizes: list[int], side: int) -> int:
    """The least batch from some number on with which all regimes keep to their pixels."""
    for batch in range(least, 100 * least):
        if all(fitting_batch(regime, sizes, side, [batch]) for regime in ('B+', 'D+')):
            return batch
    raise ValueError(f'no batch of {sizes} keeps to the pixels of chips of {side} px')


def chips_per_epoch(cfg: Config) -> int:
    """Chips of the first plan."""
    init_default_scope('mmdet')
    return len(DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset)))


def test_at(out: Path, checkpoint: str, zoom: float, setup: Setup) -> float:
    """AP of a checkpoint at a zoom."""
    resize = f'test_dataloader.dataset.pipeline.1.scale_factor={zoom}'
    return measured(out, checkpoint, [], setup, resize, name=f'_at_{zoom:g}')['AP']


def result(arm: str, seed: int, args: Namespace) -> Path:
    """Where a run's figures are."""
    folder = RESULTS.with_name('mixed_sizes')
    return folder / f'{args.data}_{args.network}_{args.gigapixels:g}g_{arm}_{seed}.json'


def read(arm: str, args: Namespace) -> list[dict]:
    """The runs of an arm, one per seed."""
    paths = [result(arm, seed, args) for seed in range(10)]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def tables(found: dict[str, list[dict]]) -> str:
    """AP at each test scale, and what calibration adds to it, mean and range of the seeds."""
    heads = [f'{factor:g}x' for factor in TEST_SCALES]
    rows = []
    for title, calibrated in (('AP at test scale', False), ('calibration adds', True)):
        rows += [f'| {title} | {" | ".join(heads)} |', f'|---|{"---|" * len(heads)}']
        for arm, runs in found.items():
            cells = []
            for factor in TEST_SCALES:
                values = [of['scales'][f'{factor}'] for of in runs]
                if calibrated:
                    values = [of['calibrated'][f'{factor}'] - value for of, value in zip(runs, values, strict=True)]
                cells.append(spread(values))
            rows.append(f'| {ARMS[arm]} | {" | ".join(cells)} |')
        rows.append('')
    return '\n'.join(rows).rstrip()


def times(found: dict[str, list[dict]]) -> str:
    """Processor seconds until an AP at the usual scale, and the AP at the time that the first arm is through."""
    target = TARGET * float(np.mean([of['marks'][-1]['one']['AP'] for of in found['fixed']]))
    moment = min(float(np.mean([of['marks'][-1]['seconds'] for of in runs])) for runs in found.values())
    rows = [f'| | s until AP {target:.3f} | AP after {moment:.0f} s | s in all | steps |', '|---|---|---|---|---|']
    for arm, runs in found.items():
        reached = [seconds_until(of, target) for of in runs]
        n_reached = int(np.isfinite(reached).sum())
        until = f'{np.mean(reached):.0f} ({min(reached):.0f} to {max(reached):.0f})'
        last = [of['marks'][-1] for of in runs]
        cells = [
            until if n_reached == len(runs) else f'{n_reached} of {len(runs)} runs reach it',
            spread([at(of, 'one', 'AP', 'seconds', moment) for of in runs]),
            f'{np.mean([mark["seconds"] for mark in last]):.0f}',
            f'{np.mean([mark["steps"] for mark in last]):.0f}',
        ]
        rows.append(f'| {ARMS[arm]} | {" | ".join(cells)} |')
    return '\n'.join(rows)


def seconds_until(of: dict, target: float) -> float:
    """When a run first has an AP, between its marks; inf if it never has."""
    before = dict(seconds=0.0, AP=0.0)
    for mark in of['marks']:
        now = dict(seconds=mark['seconds'], AP=mark['one']['AP'])
        if now['AP'] >= target:
            share = (target - before['AP']) / max(now['AP'] - before['AP'], 1e-9)
            return float(before['seconds'] + share * (now['seconds'] - before['seconds']))
        before = now
    return float('inf')


def draw(found: dict[str, list[dict]], path: Path) -> None:
    """AP against the test scale, before and after calibration, and against time."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.8), layout='constrained')
    for arm, runs in found.items():
        colour = COLOURS[arm]
        for key, line in (('scales', 'o-'), ('calibrated', 'x--')):
            aps = np.array([[of[key][f'{factor}'] for factor in TEST_SCALES] for of in runs])
            label = ARMS[arm] if key == 'scales' else None
            left.plot(TEST_SCALES, aps.mean(0), line, color=colour, label=label, linewidth=1 if label is None else 1.8)
            if key == 'scales':
                left.fill_between(TEST_SCALES, aps.min(0), aps.max(0), color=colour, alpha=0.15, linewidth=0)
        seconds = np.array([[mark['seconds'] for mark in of['marks']] for of in runs]).mean(0) / 60
        aps = np.array([[mark['one']['AP'] for mark in of['marks']] for of in runs])
        right.plot(seconds, aps.mean(0), 'o-', color=colour)
        right.fill_between(seconds, aps.min(0), aps.max(0), color=colour, alpha=0.15, linewidth=0)
    left.set_xscale('log')
    left.set_xticks(TEST_SCALES, [f'{factor:g}x' for factor in TEST_SCALES])
    left.minorticks_off()
    left.set_xlabel('test scale; dashed: batch norm calibrated for it')
    left.set_ylabel('AP')
    right.set_xlabel('processor minutes of training')
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc='outside lower center', ncols=3, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == '__main__':
    main()
