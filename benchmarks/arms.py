"""Several ways to train the demo's detector on images full of distractors, over some seeds: AP and false positives."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from looks import confident, evaluated, silent
from pycocotools.coco import COCO

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


def arguments(description: str, name: str, epochs: int | None = None) -> argparse.ArgumentParser:
    """The arguments that all such benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs') / name, help='where everything is written')
    parser.add_argument('--seeds', type=int, default=3, help='runs per row')
    if epochs:
        parser.add_argument('--epochs', type=int, default=epochs, help='epochs of a run')
    parser.add_argument('--jobs', type=int, default=2, help='trainings at the same time, one thread each')
    return parser


def compare(arms: dict[str, dict], args: argparse.Namespace, name: str, **about: object) -> None:
    """Train what is missing; print the table and write it to results/.

    Args:
        arms: What each row is called, and its changes to the config.
        args: Of :func:`arguments`.
        name: Of the file of results.
        about: What else it says.
    """
    ann_file = make_data(args.work_dir)
    with ThreadPoolExecutor(args.jobs) as jobs:
        runs = {
            (arm, seed): jobs.submit(train, args.work_dir, f'{n}_{seed}', seed, args.epochs, changes)
            for seed in range(args.seeds)
            for n, (arm, changes) in enumerate(arms.items())
        }
    with silent():
        truth = COCO(str(ann_file))
    table = {arm: [evaluate(truth, runs[arm, seed].result()) for seed in range(args.seeds)] for arm in arms}
    path = ROOT / 'benchmarks' / 'results' / f'{name}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(**about, epochs=args.epochs, table=table), indent=2) + '\n')
    print(f'| mean (range) of {args.seeds} seeds | AP | AP50 | false positives per image |')
    print('|---|---|---|---|')
    for arm, measured in table.items():
        figures = np.array(measured).T
        cells = [f'{of.mean():.3f} ({of.min():.3f} to {of.max():.3f})' for of in figures]
        print(f'| {arm} | {" | ".join(cells)} |')


def train(work_dir: Path, name: str, seed: int, epochs: int, changes: dict) -> Path:
    """Train and test one detector; its COCO result file."""
    out = work_dir / name
    detections = out / 'detections.bbox.json'
    if not detections.exists():
        config, log = DEMO / 'sniper_tiny_shapes.py', out / 'log.txt'
        options = options_for(work_dir, out, seed, epochs, changes)
        run([ROOT / 'tools/train.py', config, '--work-dir', out, '--resume', *options], log)
        checkpoint = (out / 'last_checkpoint').read_text()
        run([ROOT / 'tools/test.py', config, checkpoint, '--work-dir', out / 'test', *options], log)
    return detections


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


def evaluate(truth: COCO, result_file: Path) -> tuple[float, float, float]:
    """AP, AP50, and confident detections per image that no object of their class explains at an IoU of 0.5."""
    coco = evaluated(truth, json.loads(result_file.read_text()))
    return coco.stats[0], coco.stats[1], confident(coco)[1]
