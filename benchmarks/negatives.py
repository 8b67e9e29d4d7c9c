"""What negative chips gain: the same small detector with and without them, on images full of distractors.

python benchmarks/negatives.py [--work-dir work_dirs/negatives] [--seeds 3] [--epochs 9] [--jobs 2]

80 generated images of 1280 x 960 with 12 objects in clusters and 30 unannotated shapes all over to train on, as many to
test on. Per seed three detectors: positive chips only; with negative chips for as many epochs, as in the paper's table,
which makes more steps of them; and positive chips only for as many steps. What is finished is not done again.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from arms import DEMO, ROOT, arguments, evaluate, make_data, options_for, run
from arms import train as train_positive
from looks import CONFIDENT, silent
from pycocotools.coco import COCO

from mmsniper.compat import allow_mmengine_checkpoints

ARMS = {
    'positive': 'positive chips only',
    'negative': 'with negative chips, equal epochs',
    'steps': 'positive chips only, equal steps',
}


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    args = arguments(__doc__.split('\n')[0], 'negatives', epochs=9).parse_args()
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
    with silent():
        truth = COCO(str(ann_file))

    print(f'| mean (range) of {args.seeds} seeds | steps | AP | AP50 | false positives per image >= {CONFIDENT} |')
    print('|---|---|---|---|---|')
    for arm, title in ARMS.items():
        measured = []
        for seed in range(args.seeds):
            steps, predictions = runs[arm, seed].result()
            measured.append((steps, *evaluate(truth, predictions)))
        steps, *figures = np.array(measured).T
        cells = [
            f'{of.mean():.{n}f} ({of.min():.{n}f} to {of.max():.{n}f})'
            for of, n in zip(figures, (3, 3, 2), strict=True)
        ]
        print(f'| {title} | {steps.mean():.0f} | {" | ".join(cells)} |')


def train(arm: str, seed: int, epochs: int, work_dir: Path) -> tuple[int, Path]:
    """Train and test one detector.

    Returns:
        Its training steps, and the COCO result file of its test.
    """
    name = f'{arm}_{seed}_{epochs}'
    out = work_dir / name
    if arm == 'negative':
        config, detections = DEMO / 'sniper_tiny_neg_shapes.py', out / 'detections.bbox.json'
        options = options_for(work_dir, out, seed, epochs)
        run([ROOT / 'tools/train_sniper.py', config, '--work-dir', out, *options], out / 'log.txt')
    else:
        detections = train_positive(work_dir, name, seed, epochs, {})
    checkpoint = torch.load((out / 'last_checkpoint').read_text(), map_location='cpu', weights_only=True)
    return checkpoint['meta']['iter'], detections


def train_as_long(pair: tuple[Future, Future], seed: int, epochs: int, work_dir: Path) -> tuple[int, Path]:
    """Train without negative chips for as many steps as with them, to the nearest epoch."""
    with_negatives, without = (run.result()[0] for run in pair)
    return train('steps', seed, round(epochs * with_negatives / without), work_dir)


if __name__ == '__main__':
    main()
