"""SNIPER from data to pictures on two CPU cores: images, the whole recipe, multi-scale test, AutoFocus, pictures.

    python tools/demo.py [--work-dir work_dirs/demo] [--data-root data/shapes] [--cfg-options ...]

Everything is done by the tools beside this file, as you would on your own data; results.json in the work directory
sums it up. What is done is not done again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from chip_config import build_chip_dataset
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from mmsniper.chips import ChipKind
from mmsniper.hooks.checkpoints import last_checkpoint

TOOLS = Path(__file__).resolve().parent
CONFIG = TOOLS.parent / 'configs' / 'demo' / 'autofocus_tiny_shapes.py'
METRICS = ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_s', 'bbox_mAP_m', 'bbox_mAP_l')


def main() -> None:
    """Run the stages one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='where everything is written')
    parser.add_argument('--data-root', type=Path, default=Path('data/shapes'), help='where the images are generated')
    parser.add_argument('--train', type=int, default=100, help='number of training images')
    parser.add_argument('--val', type=int, default=40, help='number of validation images')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override settings of the config')
    args = parser.parse_args()
    root = f'{args.data_root}/'
    options = [
        f'train_dataloader.dataset.dataset.data_root={root}',
        *(f'{split}_dataloader.dataset.data_root={root}' for split in ('val', 'test')),
        *(f'{split}_evaluator.ann_file={root}annotations/val.json' for split in ('val', 'test')),
        f'train_dataloader.dataset.negatives.ann_file={args.work_dir / "negative_chips.npz"}',
        # The test that follows evaluates once; the training loop would do so too after its last epoch.
        'train_cfg.val_begin=1000',
        *args.cfg_options,
    ]
    passed_on = ['--cfg-options', *options]

    start = time.perf_counter()
    shapes = [str(args.data_root), '--train', str(args.train), '--val', str(args.val)]
    stage('generate images', 'make_shapes_dataset.py', *shapes)
    stage(
        'the recipe: RPN, negative chips, detector, test',
        'train_sniper.py',
        CONFIG,
        '--work-dir',
        args.work_dir,
        *passed_on,
    )
    chips = args.work_dir / 'chips'
    stage('draw chips', 'browse_chips.py', CONFIG, '--recipe', args.work_dir, '--out-dir', chips, *passed_on)
    trained = [CONFIG, last_checkpoint(args.work_dir)]
    whole = [*passed_on, 'tta_model.tta_cfg.focus=None']
    stage('test at several scales', 'test.py', *trained, '--tta', '--work-dir', args.work_dir / 'tta', *whole)
    stage('the same, by AutoFocus', 'test.py', *trained, '--tta', '--work-dir', args.work_dir / 'focus', *passed_on)
    some, found = args.work_dir / 'images', args.work_dir / 'detections'
    some.mkdir(exist_ok=True)
    for image in sorted((args.data_root / 'val').iterdir())[:6]:
        shutil.copy(image, some)
    stage(
        'draw detections, and where AutoFocus looks',
        'infer.py',
        *trained,
        some,
        '--out',
        found,
        '--draw-focus',
        *passed_on,
    )

    results = {**measured(args.work_dir / 'test'), **measured(args.work_dir / 'tta', 'tta_')}
    results.update(**measured(args.work_dir / 'focus', 'focus_'), **count_chips(options))
    stages = json.loads((args.work_dir / 'stages.json').read_text())
    results['train_seconds'] = stages['detector']['seconds']
    path = args.work_dir / 'results.json'
    path.write_text(json.dumps(results, indent=2) + '\n')
    print(json.dumps(results, indent=2))
    print(f'{time.perf_counter() - start:.0f} s in all. Look at {chips} and {found}; figures are in {path}')


def measured(folder: Path, prefix: str = '') -> dict[str, float]:
    """The figures of the last test in a work directory."""
    newest = max(folder.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    figures = json.loads(newest.read_text())
    return {prefix + name: figures[f'coco/{name}'] for name in METRICS}


def stage(title: str, script: str, *arguments: object) -> None:
    """Run a tool.

    Raises:
        SystemExit: If the tool fails.
    """
    print(f'\n=== {title}', flush=True)
    # A network this small gains little from more threads, and loses much where another program is busy.
    env = {'OMP_NUM_THREADS': '1', **os.environ}
    code = subprocess.run([sys.executable, str(TOOLS / script), *map(str, arguments)], env=env).returncode
    if code:
        raise SystemExit(f'{script} failed with exit code {code}')


def count_chips(options: list[str]) -> dict[str, float]:
    """Chips per image of the first epoch, and their pixels relative to one pass over the images at test scale."""
    cfg = Config.fromfile(CONFIG)
    parsed = argparse.ArgumentParser()
    parsed.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parsed.parse_args(['--cfg-options', *options]).cfg_options)
    init_default_scope('mmdet')
    dataset = build_chip_dataset(cfg)
    resize = next(step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize')
    single_scale = np.prod(dataset.table.sizes * resize.scale, axis=1).sum()
    plan = dataset.plan(0, cfg.randomness.seed)
    images = len(dataset.table)
    return {
        'chips_per_image': round(len(plan) / images, 3),
        'negative_chips_per_image': round(int((plan.kind == ChipKind.NEGATIVE).sum()) / images, 3),
        'pixels_vs_single_scale': round(len(plan) * dataset.planner.chip_size**2 / float(single_scale), 3),
    }


if __name__ == '__main__':
    main()
