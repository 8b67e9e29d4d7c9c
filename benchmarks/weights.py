"""Train the small detectors of the model zoo, test what is published, write docs/model_zoo.md.

python benchmarks/weights.py [--hituav FOLDER] [--bccd FOLDER] [--out weights]

The one on generated shapes is make demo's; HIT-UAV's FOLDER has train.json, val.json, train/, val/, BCCD's
annotations.json and images/, of which every fifth image is tested on. One after the other, on one thread, some twenty
minutes each; interrupted, it goes on. A file is named after its SHA-256, as mmdet's are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
from pathlib import Path

import torch
from arms import ROOT, run
from regime_data import make

from mmsniper.hooks.checkpoints import last_checkpoint
from mmsniper.version import __version__

CONFIGS = ROOT / 'configs' / 'demo'
RESULTS = ROOT / 'benchmarks' / 'results' / 'weights'
PAGE = ROOT / 'docs' / 'model_zoo.md'
ZOO = dict(shapes='autofocus_tiny_shapes', hituav='autofocus_tiny_hituav', bccd='sniper_tiny_bccd')
WHOLE = 'tta_model.tta_cfg.focus=None'
FIGURES = dict(AP='bbox_mAP', AP50='bbox_mAP_50', AP_small='bbox_mAP_s', AP_medium='bbox_mAP_m', AP_large='bbox_mAP_l')
TITLES = dict(one='one scale', tta='`--tta`', focus='AutoFocus')
HEAD = """# Model zoo

Small detectors that a CPU has trained, from random weights, on images that anyone can get: to try things, to start
from, and as figures that can be had again. `make weights HITUAV=FOLDER BCCD=FOLDER` trains them (what needs a folder
and has none is left out, and said), tests the files that it writes to `weights/`, and writes this page. The seed is
0; the same machine and versions give the same figures.

"""


def main() -> None:
    """Read the arguments, train and test what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--hituav', type=Path, help='where HIT-UAV lies')
    parser.add_argument('--bccd', type=Path, help='where BCCD lies')
    parser.add_argument('--out', type=Path, default=Path('weights'), help='where checkpoints are published')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/weights'), help='where they are trained')
    args = parser.parse_args()
    for folder in (args.hituav, args.bccd):
        if folder and not folder.is_dir():
            parser.error(f'no folder {folder}')
    args.out.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in ZOO:
        source = getattr(args, name, None)
        if name != 'shapes' and source is None:
            print(f'{ZOO[name]}: left out; say where the images are by --{name} FOLDER')
            continue
        found = publish(name, source, args)
        (RESULTS / f'{ZOO[name]}.json').write_text(json.dumps(found, indent=1) + '\n')
    PAGE.write_text(page())
    print(f'Wrote {PAGE}')


def publish(name: str, source: Path | None, args: argparse.Namespace) -> dict:
    """Train, write the checkpoint without its optimizer, test it."""
    config, work_dir = CONFIGS / f'{ZOO[name]}.py', args.work_dir / ZOO[name]
    log = work_dir / 'log.txt'
    if name == 'shapes':
        root = args.work_dir / 'data' / name
        training = [ROOT / 'tools/demo.py', '--work-dir', work_dir, '--data-root', root, '--cfg-options']
    else:
        # BCCD comes in one piece.
        root = source if name == 'hituav' else make(name, argparse.Namespace(work_dir=args.work_dir, source=source))
        root = root.resolve()
        training = [ROOT / 'tools/train.py', config, '--work-dir', work_dir, '--resume', '--cfg-options']
        training += [f'train_dataloader.dataset.dataset.data_root={root}/', f'val_evaluator.ann_file={root}/val.json']
        training += [f'val_dataloader.dataset.data_root={root}/']
    seconds = train([*training, 'randomness.seed=0'], work_dir)
    checkpoint = torch.load(last_checkpoint(work_dir), map_location='cpu', weights_only=False)
    meta = dict(dataset_meta=checkpoint['meta']['dataset_meta'], mmsniper_version=__version__, config=config.name)
    unnamed = args.out / f'{ZOO[name]}.pth'
    torch.save(dict(meta=meta, state_dict=checkpoint['state_dict']), unnamed)
    sha256 = hashlib.sha256(unnamed.read_bytes()).hexdigest()
    file = unnamed.rename(args.out / f'{ZOO[name]}-{sha256[:8]}.pth')
    found = dict(config=f'configs/demo/{config.name}', file=file.name, sha256=sha256, bytes=file.stat().st_size)
    found.update(steps=checkpoint['meta']['iter'], seconds=round(seconds))
    annotations = 'annotations/val.json' if name == 'shapes' else 'val.json'
    data = [f'test_dataloader.dataset.data_root={root}/', f'test_evaluator.ann_file={root}/{annotations}']
    tests = dict(one=([], []), tta=(['--tta'], []))
    if 'autofocus' in ZOO[name]:
        tests.update(tta=(['--tta'], [WHOLE]), focus=(['--tta'], []))
    for test, (flags, settings) in tests.items():
        out = work_dir / test
        run([ROOT / 'tools/test.py', config, file, '--work-dir', out, *flags, '--cfg-options', *data, *settings], log)
        newest = max(out.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
        figures = json.loads(newest.read_text())
        found[test] = {figure: figures[f'coco/{key}'] for figure, key in FIGURES.items()}
    return found


def train(command: list, work_dir: Path) -> float:
    """Train, or go on; processor seconds of all calls that ended of themselves."""
    spent = work_dir / 'seconds.json'
    before = json.loads(spent.read_text()) if spent.exists() else 0.0
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        run(command, work_dir / 'log.txt')
    finally:
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = before + end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
        spent.write_text(json.dumps(seconds))
    return seconds


def page() -> str:
    """The page of all that was published."""
    rows = [
        '| config | tested | AP | AP50 | small | medium | large | steps | training, processor min | file |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    for name in ZOO.values():
        path = RESULTS / f'{name}.json'
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        about = [
            str(found['steps']),
            f'{found["seconds"] / 60:.0f}',
            f'`{found["file"]}`, {found["bytes"] / 1e6:.1f} MB',
        ]
        for test in (test for test in TITLES if test in found):
            figures = [f'{found[test][figure]:.3f}' for figure in FIGURES]
            first = f'[{name}](../{found["config"]})' if test == 'one' else ''
            rows.append(f'| {" | ".join([first, TITLES[test], *figures, *(about if first else [""] * 3)])} |')
    return HEAD + '\n'.join(rows) + '\n'


if __name__ == '__main__':
    main()
