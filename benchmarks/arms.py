"""Several ways to train the demo's detector on the images of negatives.py, over some seeds: AP and false positives."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from negatives import DEMO, ROOT, evaluate, make_data, options_for, run
from pycocotools.coco import COCO


def arguments(description: str, name: str, epochs: int) -> argparse.ArgumentParser:
    """The arguments that all such benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs') / name, help='where everything is written')
    parser.add_argument('--seeds', type=int, default=3, help='runs per row')
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
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
    table = {arm: [evaluate(truth, runs[arm, seed].result(), 0.5) for seed in range(args.seeds)] for arm in arms}
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
