"""AutoFocus against the full pyramid, a single scale and SAHI: pixels, processor time and AP, one checkpoint, one run.

python benchmarks/autofocus.py --shapes CONFIG CHECKPOINT [--hituav CONFIG CHECKPOINT FOLDER] [--images 40 12 50 8]

CONFIG is of a detector with a FocusHead (make demo trains one); its scales are those of the pyramid. Images of shapes
are generated, of 1280 x 960 and of 3000 x 2250 px, and such that are full of small objects or, of 960 x 720 px, have
none; HIT-UAV's FOLDER has val.json and val/. Each image goes through all ways in turn, on one thread, from file to
boxes, in slices by SAHI, too, if that is installed (`pip install --no-deps sahi`). Writes results/autofocus.json.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from arms import ROOT, run
from looks import FIGURES, KEYS, LOAD, detect, measure, sahi_methods, silent, with_best_slice
from mmdet.apis import init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from pycocotools.coco import COCO
from regime_data import with_regions

from mmsniper.models.pyramid import follow_config

SMALL_SET, LARGE_SET, DENSE_SET, COARSE_SET = (
    'shapes, 1280 px',
    'shapes, 3000 px',
    'shapes, 1280 px, full of small ones',
    'shapes, 960 px, nothing small',
)
SIZE = '--width 1280 1280 --height 960 960'
SHAPES = {
    SMALL_SET: f'{SIZE} --objects 12 12 --distractors 30 30',
    LARGE_SET: '--width 3000 3000 --height 2250 2250 --objects 30 30 --distractors 60 60',
    DENSE_SET: f'{SIZE} --objects 200 200 --size 10 40 --distractors 0 0',
    COARSE_SET: '--width 960 960 --height 720 720 --objects 1 2 --size 350 520 --distractors 0 0',  # 90 px in 256
}
# In 256 px nothing of a large image is left to be seen.
LARGE = dict(scales=[2.0, 1.0, 0.5])
SETTINGS = {
    **{f'AutoFocus, threshold {threshold:g}': dict(threshold=threshold) for threshold in (0.02, 0.05, 0.1, 0.2)},
    **{
        f'AutoFocus, threshold {threshold:g}, dilate 1': dict(threshold=threshold, dilate=1) for threshold in (0.1, 0.2)
    },
}
# A second look at what is worth it: each view mirrored, too.
MIRRORED = {f'AutoFocus, threshold {threshold:g}, flip': dict(threshold=threshold) for threshold in (0.1, 0.2)}
WHOLE = 'full pyramid'
# How the extremes are looked at: they are about time alone.
EXTREMES = (WHOLE, next(iter(SETTINGS)))


def main() -> None:
    """Read the arguments, measure, print a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shapes', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='trained on shapes')
    parser.add_argument('--hituav', nargs=3, metavar=('CONFIG', 'CHECKPOINT', 'FOLDER'), help='trained on HIT-UAV')
    parser.add_argument(
        '--images', type=int, nargs=4, default=[40, 12, 50, 8], help='shapes of 1280 and 3000 px, HIT-UAV, extremes'
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/autofocus'), help='where images are generated')
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = ROOT / 'benchmarks/results/autofocus.json'
    results = json.loads(path.read_text()) if path.exists() else {}
    small, large, drones, extremes = args.images
    counts = dict(zip(SHAPES, (small, large, extremes, extremes), strict=True))
    for name, count in counts.items() if args.shapes else ():
        root = args.work_dir / name.replace(', ', '_').replace(' ', '_')
        command = [ROOT / 'tools/make_shapes_dataset.py', root, '--train', 0, '--val', count, *SHAPES[name].split()]
        run([*command, '--empty', 0, '--seed', 1], args.work_dir / 'data.log')
        content = json.loads((root / 'annotations/val.json').read_text())
        ways = methods(*args.shapes, LARGE if name == LARGE_SET else {})
        if name in (DENSE_SET, COARSE_SET):
            ways = {way: ways[way] for way in EXTREMES}
        results[name] = compare(name, ways, content, root / 'val')
        path.write_text(json.dumps(results, indent=1) + '\n')
    if args.hituav:
        *trained, folder = args.hituav
        content = with_regions(json.loads((Path(folder) / 'val.json').read_text()))
        content['images'] = content['images'][:: max(len(content['images']) // drones, 1)]
        results['HIT-UAV'] = compare('HIT-UAV', methods(*trained, {}), content, Path(folder) / 'val')
        path.write_text(json.dumps(results, indent=1) + '\n')


def compare(name: str, ways: dict[str, Callable], content: dict, folder: Path) -> dict[str, dict]:
    """Run every way on every image, print the table; figures per way."""
    kept = {image['id'] for image in content['images']}
    with silent():
        truth = COCO()
        truth.dataset = dict(content, annotations=[one for one in content['annotations'] if one['image_id'] in kept])
        truth.createIndex()
    ways.pop('SAHI', None)
    rows = measure(with_best_slice(ways, truth, folder), truth, folder)
    whole = rows[WHOLE]
    print(f'\n| {name}, {len(kept)} images | AP | AP50 | small | medium | large | Mpx | of the pyramid | s | faster |')
    print('|---|---|---|---|---|---|---|---|---|---|')
    for way, row in rows.items():
        cells = [f'{row[figure]:.3f}' for figure in FIGURES]
        cells += [f'{row["pixels"] / 1e6:.2f}', f'{row["pixels"] / whole["pixels"]:.0%}']
        cells += [f'{row["seconds"]:.2f}', f'{whole["seconds"] / row["seconds"]:.1f} x']
        print(f'| {way} | {" | ".join(cells)} |', flush=True)
    return rows


def methods(config: str, checkpoint: str, changes: dict) -> dict[str, Callable]:
    """Ways to detect by name: from a path to (boxes (K, 4) xyxy, scores (K,), labels (K,))."""
    cfg = Config.fromfile(config)
    model = init_detector(cfg, checkpoint, device='cpu')
    single = [step for step in cfg.test_dataloader.dataset.pipeline if step.type != 'LoadAnnotations']
    single = [{**step, 'meta_keys': KEYS} if step['type'] == 'PackDetInputs' else step for step in single]
    whole = Compose([LOAD, dict(type='PackDetInputs', meta_keys=KEYS[:-1])])

    def ours(focus: dict | None, **more: object) -> Callable:
        settings = {**copy.deepcopy(cfg.tta_model.tta_cfg), **changes, **more, 'focus': focus}
        tta = MODELS.build(dict(cfg.tta_model, tta_cfg=settings, module=model))
        follow_config(tta, cfg)
        return partial(detect, tta, whole)

    given = cfg.tta_model.tta_cfg.get('focus') or {}
    found = {'single scale': partial(detect, model, Compose(single)), WHOLE: ours(None)}
    found.update({name: ours(dict(given, **settings)) for name, settings in SETTINGS.items()})
    found.update({name: ours(dict(given, **settings), flip=True) for name, settings in MIRRORED.items()})
    with contextlib.suppress(ImportError):
        found.update(sahi_methods(config, checkpoint, 'cpu'))
    return found


if __name__ == '__main__':
    main()
