"""Which proposals of a chip train the RoI head: the RPN's best, less those out of range, or the best of those in range.

python benchmarks/rois.py [--work-dir work_dirs/rois] [--seeds 3] [--epochs 9] [--rois 64] [--jobs 2]

The demo's detector on the images of negatives.py, positive chips only. What is finished is not done again.
"""

import argparse
import contextlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from negatives import DEMO, ROOT, evaluate, make_data, options_for, run
from pycocotools.coco import COCO

RESULTS = ROOT / 'benchmarks' / 'results' / 'rois.json'


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/rois'), help='where everything is written')
    parser.add_argument('--seeds', type=int, default=3, help='runs per row')
    parser.add_argument('--epochs', type=int, default=9, help='epochs of a run')
    parser.add_argument('--rois', type=int, default=64, help='proposals per chip')
    parser.add_argument('--jobs', type=int, default=2, help='trainings at the same time, one thread each')
    args = parser.parse_args()
    proposals, sampler = 'model.train_cfg.rpn_proposal.max_per_img', 'model.train_cfg.rcnn.sampler.num'
    arms = {
        'taken, then filtered': {proposals: args.rois, sampler: -1},
        'filtered, then taken': {proposals: 1000, sampler: args.rois},
    }
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
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(dict(rois=args.rois, epochs=args.epochs, table=table), indent=2) + '\n')
    print(f'| {args.rois} proposals, mean (range) of {args.seeds} seeds | AP | AP50 | false positives per image |')
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


if __name__ == '__main__':
    main()
