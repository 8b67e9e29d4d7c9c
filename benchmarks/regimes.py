"""The same detector from the same weights, trained in the ways a user has: AP at equal pixels, and at equal time.

python benchmarks/regimes.py --data hituav --source FOLDER [--network tiny] [--gigapixels NUMBER] [--seeds 3] [--jobs 2]
    [--regimes single multi crops slices snip sniper few_negatives negatives autofocus] [--val NUMBER]

HIT-UAV's FOLDER has train.json, val.json, train/, val/; BCCD's annotations.json and images/; shapes are generated.
Every way has group norm, AdamW, a constant rate whose weights are averaged, and its rate from the same small search: a
fifth of the pixels, one seed, other test images, further while the best is at an end; SNIPER's own variants take
SNIPER's. One run is measured at each quarter of its pixels, so that runs can be compared at equal pixels and at equal
processor seconds of one thread. Each is tested at one scale and, from three quarters on, at several (--tta); that with
slices by SAHI, too (`pip install --no-deps sahi`), and that with AutoFocus's branch by what it leaves out.
What is done is not done again: each run is a file in results/regimes/. In the end some steps of each way are timed, all
in one go, as runs of other days and machines cannot be compared. The table and the picture: plot_regimes.py.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from arms import ROOT, run
from looks import FIGURES, STATS, confident, evaluated, silent
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pycocotools.coco import COCO
from regime_configs import BY_RANGE, NEGATIVES, NETWORKS, REGIMES, Setup, config_of, set_up
from regime_data import BUDGETS, DATA, OVERLAP, make
from regime_pool import mine
from regime_train import MARKS

from mmsniper.chips import ChipKind
from mmsniper.chips.files import replacing

RESULTS = ROOT / 'benchmarks' / 'results' / 'regimes'
RATES = (0.0007, 0.0014, 0.0028, 0.0056)
SEARCH = 0.2
# From this mark on (of four) a run is tested in all ways; before, at one scale.
WELL_TRAINED = 3
# Of AutoFocus, by which it leaves out a quarter of HIT-UAV's pixels.
FOCUS_THRESHOLD = 0.1
# A way is timed over so many network pixels, after a third as many, so often.
TIMED, TIMES = 3e7, 2


def main() -> None:
    """Read the arguments, search the rates, train and test what is missing."""
    parser = arguments(__doc__)
    parser.add_argument('--regimes', nargs='+', choices=REGIMES, default=list(REGIMES), help='what is compared')
    parser.add_argument('--seeds', type=int, default=3, help='runs of each')
    args = parser.parse_args()
    setup = prepare(args, parser.error)
    searched = {regime: 'sniper' if regime in NEGATIVES else regime for regime in args.regimes}
    pools = ['pool'] if set(NEGATIVES) & set(args.regimes) else []
    names = [*pools, *dict.fromkeys(searched.values())]
    rates = dict(pool_map(lambda name: (name, prepared(name, setup, args)), names, args.jobs))
    runs = [(regime, seed) for seed in range(args.seeds) for regime in args.regimes]
    pool_map(lambda pair: one_run(*pair, rates[searched[pair[0]]], setup, args), runs, args.jobs)
    time_all(args.regimes, setup, args)


def prepared(name: str, setup: Setup, args: argparse.Namespace) -> float:
    """Mine the negative chips, or search the rate of a way to train."""
    if name != 'pool':
        return best_rate(name, setup, args)
    setup.pool = mine(setup, args, RATES[2])
    return 0.0


def arguments(description: str, results: Path = RESULTS) -> argparse.ArgumentParser:
    """The arguments that benchmarks on these data sets have; where their results go."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', choices=DATA, required=True, help='images')
    parser.add_argument('--source', type=Path, help='where they are; shapes are generated')
    parser.add_argument('--network', choices=NETWORKS, default='tiny', help="the demo's, or of full size")
    parser.add_argument('--gigapixels', type=float, help='network pixels of a run; default by data set')
    parser.add_argument('--val', type=int, help='images that are tested on; default by data set')
    parser.add_argument('--jobs', type=int, default=2, help='runs at the same time, one thread each')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/regimes'), help='where everything is written')
    parser.set_defaults(results=results)
    return parser


def prepare(args: argparse.Namespace, error: Callable) -> Setup:
    """Make the data set, plan its chips."""
    if args.data != 'shapes' and not (args.source and args.source.is_dir()):
        error(f'--source: where does {DATA[args.data]} lie?')
    args.work_dir = args.work_dir.resolve()
    args.gigapixels = args.gigapixels or BUDGETS[args.data].gigapixels
    args.val = args.val or BUDGETS[args.data].val
    setup = set_up(make(args.data, args), args.network)
    split(setup.folder, args.val)
    return setup


def pool_map(call: Callable, items: list, jobs: int) -> list:
    """In so many threads; the first error ends it when those that run have ended."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def split(folder: Path, most: int) -> None:
    """Of the images to test on, write so many into val.json, spread over them, and as many others into search.json."""
    content = json.loads((folder / 'all_val.json').read_text())
    n_images = len(content['images'])
    if n_images < 2 * most:
        raise ValueError(f'--val {most}: {folder} has {n_images} images to test on, and the search takes as many')
    done = json.loads((folder / 'val.json').read_text())['images']
    if len(done) not in (n_images, most):
        raise ValueError(f'{folder} is tested on {len(done)} images: say --val {len(done)}, or take another --work-dir')
    images = dict(val=[content['images'][n] for n in np.linspace(0, n_images - 1, most).astype(int)])
    others = [image for image in content['images'] if image not in images['val']]
    images['search'] = [others[n] for n in np.linspace(0, len(others) - 1, most).astype(int)]
    for name, chosen in images.items():
        kept = {image['id'] for image in chosen}
        annotations = [one for one in content['annotations'] if one['image_id'] in kept]
        with replacing(folder / f'{name}.json') as file:  # another call may read it
            json.dump(dict(content, images=chosen, annotations=annotations), file)


def best_rate(regime: str, setup: Setup, args: argparse.Namespace, rates: tuple[float, ...] = RATES) -> float:
    """The learning rate of the highest AP after a fifth of the pixels, by one rule for all, on images for this alone.

    The same few are tried; while the best of all is the lowest or the highest, half or twice as much is, too. What is
    trained by valid ranges is tested by them.
    """
    options = ['--tta'] if regime in BY_RANGE else []
    path = result(f'rate_{regime}', setup, args)
    found: dict[float, float] = {}
    if path.exists():
        found = {float(rate): ap for rate, ap in json.loads(path.read_text())['rates'].items()}
    missing = [rate for rate in rates if rate not in found]
    while True:
        for rate in missing:
            out = args.work_dir / path.stem / f'{rate:g}'
            pixels = SEARCH * args.gigapixels * 1e9
            train(config_of(regime, setup, pixels, rate, 0), out, pixels)
            found[rate] = measured(out, f'mark_{MARKS}.pth', options, setup, images='search')['AP']
        best = max(found, key=found.__getitem__)
        beyond = {min(found): best / 2, max(found): best * 2}
        if best not in beyond:
            break
        missing = [beyond[best]]
    path.write_text(json.dumps(dict(regime=regime, rates=found, best=best), indent=1) + '\n')
    return best


def one_run(regime: str, seed: int, rate: float, setup: Setup, args: argparse.Namespace) -> None:
    """Train and test, unless it is done; write what was measured."""
    path = result(f'{regime}_{seed}', setup, args)
    if path.exists():
        return
    out = args.work_dir / path.stem
    pixels = args.gigapixels * 1e9
    cfg = config_of(regime, setup, pixels, rate, seed)
    marks = train(cfg, out, pixels)
    for mark in marks:
        checkpoint = f'mark_{mark["mark"]}.pth'
        mark['one'] = measured(out, checkpoint, [], setup)
        if mark['mark'] >= WELL_TRAINED:
            mark['tta'] = measured(out, checkpoint, ['--tta'], setup)
            if regime == 'slices':
                mark['sahi'] = test_by_sahi(out, checkpoint, setup)
            if regime == 'autofocus':
                focus = dict(threshold=FOCUS_THRESHOLD, min_size=setup.planner.chip_size * 3 // 4)
                changed = [f'tta_model.tta_cfg.focus.{key}={value}' for key, value in focus.items()]
                mark['focus'] = measured(out, checkpoint, ['--tta'], setup, *changed, name='focus')
    about = dict(data=args.data, network=args.network, regime=regime, seed=seed, rate=rate, gigapixels=args.gigapixels)
    settings = dict(planner=setup.planner.settings, zoom=setup.zoom, slices=setup.slice_size, images=args.val)
    if regime in NEGATIVES:
        settings['negative_share'] = negative_share(cfg)
    path.write_text(json.dumps(dict(**about, **settings, marks=marks), indent=1) + '\n')
    for checkpoint in out.glob('mark_*.pth'):
        if checkpoint.name != f'mark_{MARKS}.pth':
            checkpoint.unlink()


def time_all(regimes: list[str], setup: Setup, args: argparse.Namespace) -> None:
    """Write seconds per billion network pixels of each way, the least of some tries, unless all are there."""
    path = result('pace', setup, args)
    if path.exists() and set(regimes) <= set(json.loads(path.read_text())):
        return
    found: dict[str, list[float]] = {regime: [] for regime in regimes}
    for _ in range(TIMES):
        for regime, seconds in found.items():
            out = args.work_dir / path.stem / regime
            shutil.rmtree(out, ignore_errors=True)
            pixels = TIMED * MARKS / (MARKS - 1)
            first, *_, last = train(config_of(regime, setup, pixels, RATES[0], 0), out, pixels)
            seconds.append(1e9 * (last['seconds'] - first['seconds']) / (last['pixels'] - first['pixels']))
    path.write_text(json.dumps({regime: round(min(seconds), 2) for regime, seconds in found.items()}, indent=1) + '\n')


def negative_share(cfg: Config) -> float:
    """How many of an epoch's chips are negative."""
    init_default_scope('mmdet')
    with silent():
        plan = DATASETS.build(copy.deepcopy(cfg.train_dataloader.dataset)).plan(0)
    return round(float((plan.kind == ChipKind.NEGATIVE).mean()), 4)


def result(name: str, setup: Setup, args: argparse.Namespace) -> Path:
    """Where a run's figures are."""
    args.results.mkdir(parents=True, exist_ok=True)
    return args.results / f'{args.data}_{setup.network}_{args.gigapixels:g}g_{name}.json'


def train(cfg: Config, out: Path, pixels: float) -> list[dict]:
    """Train until it has gone through so many pixels; what it took until each mark.

    Goes on where an earlier call of the same config stopped; one of another config is begun anew.
    """
    marks, config = out / 'marks.json', config_file(out)
    if out.exists() and not (config.exists() and config.read_text() == cfg.pretty_text):
        print(f'{out} has a training by another config: it begins anew')
        shutil.rmtree(out)
    if not marks.exists() or json.loads(marks.read_text())[-1]['mark'] < MARKS:
        out.mkdir(parents=True, exist_ok=True)
        for old in out.glob('*.bbox.json'):
            old.unlink()
        cfg.dump(config)
        run([ROOT / 'benchmarks/regime_train.py', config, out, pixels], out / 'log.txt')
    return json.loads(marks.read_text())


def config_file(out: Path) -> Path:
    """A run's config: beside its folder, in which mmengine writes one of its own."""
    return out.with_name(f'{out.name}.py')


def measured(
    out: Path, checkpoint: str, options: list[str], setup: Setup, *settings: str, images: str = 'val', name: str = ''
) -> dict[str, float]:
    """Figures of a checkpoint by mmdet's test script, on some of the images; with settings changed, under a name."""
    found = out / f'{Path(checkpoint).stem}{"".join(options)}{name}{"" if images == "val" else images}'
    results = Path(f'{found}.bbox.json')
    if not results.exists():
        ann_file = setup.folder / f'{images}.json'
        places = [f'{place}.ann_file={ann_file}' for place in ('test_dataloader.dataset', 'test_evaluator')]
        command = [ROOT / 'tools/test.py', config_file(out), out / checkpoint, '--work-dir', out / 'test', *options]
        prefix = f'test_evaluator.outfile_prefix={found}'
        run([*command, '--cfg-options', prefix, *places, *settings], out / 'log.txt')
    return figures(setup, json.loads(results.read_text()), images)


def test_by_sahi(out: Path, checkpoint: str, setup: Setup) -> dict[str, float]:
    """Figures of sliced prediction, by SAHI itself, with the slices that were trained on."""
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    model = AutoDetectionModel.from_pretrained(
        model_type='mmdet',
        model_path=str(out / checkpoint),
        config_path=str(config_file(out)),
        confidence_threshold=0.01,
        device='cpu',
    )
    truth = json.loads((setup.folder / 'val.json').read_text())
    ids = [category['id'] for category in truth['categories']]
    found = []
    for image in truth['images']:
        sides = dict(slice_height=setup.slice_size, slice_width=setup.slice_size)
        overlaps = dict(overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP)
        path = str(setup.folder / 'val' / image['file_name'])
        for one in get_sliced_prediction(path, model, verbose=0, **sides, **overlaps).object_prediction_list:
            box = dict(bbox=one.bbox.to_xywh(), score=one.score.value, category_id=ids[one.category.id])
            found.append(dict(image_id=image['id'], **box))
    return figures(setup, found)


def figures(setup: Setup, found: list[dict], images: str = 'val') -> dict[str, float]:
    """AP, AP50 and by size; confident detections per image that are right, and false."""
    with silent():
        truth = COCO(str(setup.folder / f'{images}.json'))
    names = (*FIGURES, 'right', 'false')
    if not found:
        return dict.fromkeys(names, 0.0)
    coco = evaluated(truth, found)
    values = (*coco.stats[STATS], *confident(coco))
    return dict(zip(names, (round(float(value), 4) for value in values), strict=True))


if __name__ == '__main__':
    main()
