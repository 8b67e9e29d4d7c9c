"""What negative chips gain: the same small detector with and without them, on images full of distractors.

python benchmarks/negatives.py [--work-dir work_dirs/negatives] [--seeds 3] [--epochs 9] [--jobs 2]

80 generated images of 1280 x 960 with 12 objects in clusters and 30 unannotated shapes all over to train on, as many to
test on. Per seed three detectors: positive chips only; with negative chips for as many epochs, as in the paper's table,
which makes more steps of them; and positive chips only for as many steps. What is finished is not done again.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmsniper.compat import allow_mmengine_checkpoints

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / 'configs' / 'demo'
SHAPES = {
    'train': [80],
    'val': [80],
    'width': [1280, 1280],
    'height': [960, 960],
    'objects': [12, 12],
    'distractors': [30, 30],
    'empty': [0],
}
ARMS = {
    'positive': 'positive chips only',
    'negative': 'with negative chips, equal epochs',
    'steps': 'positive chips only, equal steps',
}


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/negatives'), help='where everything is written'
    )
    parser.add_argument('--seeds', type=int, default=3, help='runs per row')
    parser.add_argument('--epochs', type=int, default=9, help='epochs of the first two rows')
    parser.add_argument('--jobs', type=int, default=2, help='trainings at the same time, one thread each')
    parser.add_argument('--score-thr', type=float, default=0.5, help='a detection above it is confident')
    args = parser.parse_args()
    allow_mmengine_checkpoints()
    ann_file = make_data(args.work_dir)
    with ThreadPoolExecutor(args.jobs) as jobs:
        runs: dict[tuple[str, int], Future] = {}
        for seed in range(args.seeds):
            for arm in ('negative', 'positive'):
                runs[arm, seed] = jobs.submit(train, arm, seed, args.epochs, args.work_dir)
        for seed in range(args.seeds):  # queued behind the runs they wait for
            pair = runs['negative', seed], runs['positive', seed]
            runs['steps', seed] = jobs.submit(train_as_long, pair, seed, args.epochs, args.work_dir)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))

    print(f'| mean (range) of {args.seeds} seeds | steps | AP | AP50 | false positives per image >= {args.score_thr} |')
    print('|---|---|---|---|---|')
    for arm, title in ARMS.items():
        measured = []
        for seed in range(args.seeds):
            steps, predictions = runs[arm, seed].result()
            measured.append((steps, *evaluate(truth, predictions, args.score_thr)))
        steps, *figures = np.array(measured).T
        cells = [
            f'{of.mean():.{n}f} ({of.min():.{n}f} to {of.max():.{n}f})'
            for of, n in zip(figures, (3, 3, 2), strict=True)
        ]
        print(f'| {title} | {steps.mean():.0f} | {" | ".join(cells)} |')


def make_data(work_dir: Path) -> Path:
    """Generate the images unless they are there; the annotations to test on."""
    ann_file = work_dir / 'data/annotations/val.json'
    shapes = [word for name, values in SHAPES.items() for word in (f'--{name}', *values)]
    if not ann_file.exists():
        run([ROOT / 'tools/make_shapes_dataset.py', work_dir / 'data', *shapes], work_dir / 'data.log')
    return ann_file


def options_for(work_dir: Path, out: Path, seed: int, epochs: int, changes: dict | None = None) -> list[str]:
    """Command line options of a demo config: these images, this seed and number of epochs, detections under `out`."""
    root = f'{work_dir / "data"}/'
    options = {
        'train_dataloader.dataset.dataset.data_root': root,
        'test_dataloader.dataset.data_root': root,
        'test_evaluator.ann_file': f'{root}annotations/val.json',
        'test_evaluator.outfile_prefix': out / 'detections',
        'train_cfg.max_epochs': epochs,
        'param_scheduler.1.end': epochs,
        'randomness.seed': seed,
        'val_dataloader': None,
        'val_evaluator': None,
        'val_cfg': None,
        **(changes or {}),
    }
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def train(arm: str, seed: int, epochs: int, work_dir: Path) -> tuple[int, Path]:
    """Train and test one detector.

    Returns:
        Its training steps, and the COCO result file of its test.
    """
    out = work_dir / f'{arm}_{seed}_{epochs}'
    options = options_for(work_dir, out, seed, epochs)
    out.mkdir(parents=True, exist_ok=True)
    command, detections = partial(run, log=out / 'log.txt'), out / 'detections.bbox.json'
    if arm == 'negative':
        command([ROOT / 'tools/train_sniper.py', DEMO / 'sniper_tiny_neg_shapes.py', '--work-dir', out, *options])
    elif not detections.exists():
        config = DEMO / 'sniper_tiny_shapes.py'
        command([ROOT / 'tools/train.py', config, '--work-dir', out, '--resume', *options])
        checkpoint = (out / 'last_checkpoint').read_text()
        command([ROOT / 'tools/test.py', config, checkpoint, '--work-dir', out / 'test', *options])
    checkpoint = torch.load((out / 'last_checkpoint').read_text(), map_location='cpu', weights_only=True)
    return checkpoint['meta']['iter'], detections


def train_as_long(pair: tuple[Future, Future], seed: int, epochs: int, work_dir: Path) -> tuple[int, Path]:
    """Train without negative chips for as many steps as with them, to the nearest epoch."""
    with_negatives, without = (run.result()[0] for run in pair)
    return train('steps', seed, round(epochs * with_negatives / without), work_dir)


def run(command: list, log: Path) -> None:
    """Run one of our scripts on one thread: several at a time are faster than one on all cores.

    Raises:
        RuntimeError: If it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    with log.open('a') as file:
        code = subprocess.run([sys.executable, *map(str, command)], env=env, stdout=file, stderr=file).returncode
    if code:
        raise RuntimeError(f'{Path(command[0]).name} failed with exit code {code}; see {log}')


def evaluate(truth: COCO, result_file: Path, score_thr: float) -> tuple[float, float, float]:
    """AP, AP50, and confident detections per image that no object of their class explains at an IoU of 0.5."""
    with contextlib.redirect_stdout(io.StringIO()):
        predictions = json.loads(result_file.read_text())
        coco = COCOeval(truth, truth.loadRes(predictions), 'bbox')
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    wrong = 0
    # evalImgs is a flat list over categories, areas and images; the first area is "all".
    n_images, n_areas = len(coco.params.imgIds), len(coco.params.areaRng)
    for n, matched in enumerate(coco.evalImgs):
        if matched and (n // n_images) % n_areas == 0:
            scores = np.array(matched['dtScores'])
            wrong += int(((scores >= score_thr) & (matched['dtMatches'][0] == 0) & ~matched['dtIgnore'][0]).sum())
    return coco.stats[0], coco.stats[1], wrong / n_images


if __name__ == '__main__':
    main()
