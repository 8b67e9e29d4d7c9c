"""AutoFocus against the full pyramid, a single scale and SAHI: pixels, processor time and AP, one checkpoint, one run.

python benchmarks/autofocus.py --shapes CONFIG CHECKPOINT [--hituav CONFIG CHECKPOINT FOLDER] [--images 40 8 75]

CONFIG is of a detector with a FocusHead (make demo trains one); its scales are those of the pyramid. Images of shapes
are generated, of 1280 x 960 and of 3000 x 2250 px; HIT-UAV's FOLDER has val.json and val/. Each image goes through all
ways in turn, on one thread, from file to boxes, with its slices by SAHI if that is installed (`pip install sahi`).
Writes results/autofocus.json.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from arms import ROOT, run
from mmdet.apis import init_detector
from mmdet.models import DetDataPreprocessor
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from pycocotools.coco import COCO
from regime_data import with_regions
from tta import KEYS, LOAD, average_precision, best_slice, coco_format, detect, sahi_methods

from mmsniper.models.pyramid import follow_config

SHAPES = {
    'shapes, 1280 px': '--width 1280 1280 --height 960 960 --objects 12 12 --distractors 30 30',
    'shapes, 3000 px': '--width 3000 3000 --height 2250 2250 --objects 30 30 --distractors 60 60',
}
# In 256 px nothing of a large image is left to be seen.
LARGE = dict(scales=[2.0, 1.0, 0.5])
THRESHOLDS = (0.1, 0.2, 0.3)


def main() -> None:
    """Read the arguments, measure, print a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--shapes', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='trained on shapes')
    parser.add_argument('--hituav', nargs=3, metavar=('CONFIG', 'CHECKPOINT', 'FOLDER'), help='trained on HIT-UAV')
    parser.add_argument('--images', type=int, nargs=3, default=[40, 8, 75], help='of each data set')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/autofocus'), help='where images are generated')
    args = parser.parse_args()
    torch.set_num_threads(1)
    count_pixels()
    path = ROOT / 'benchmarks/results/autofocus.json'
    results = json.loads(path.read_text()) if path.exists() else {}
    for (name, options), count in zip(SHAPES.items(), args.images, strict=False):
        if args.shapes:
            root = args.work_dir / name.split()[1]
            command = [ROOT / 'tools/make_shapes_dataset.py', root, '--train', 0, '--val', count, *options.split()]
            run([*command, '--empty', 0, '--seed', 1], args.work_dir / 'data.log')
            truth = json.loads((root / 'annotations/val.json').read_text())
            results[name] = compare(name, *args.shapes, truth, root / 'val', LARGE if '3000' in name else {})
            path.write_text(json.dumps(results, indent=1) + '\n')
    if args.hituav:
        *trained, folder = args.hituav
        truth = with_regions(json.loads((Path(folder) / 'val.json').read_text()))
        truth['images'] = truth['images'][:: max(len(truth['images']) // args.images[2], 1)]
        results['HIT-UAV'] = compare('HIT-UAV', *trained, truth, Path(folder) / 'val', {})
    path.write_text(json.dumps(results, indent=1) + '\n')


def compare(name: str, config: str, checkpoint: str, content: dict, folder: Path, changes: dict) -> dict[str, dict]:
    """Run every way on every image, print the table; figures per way."""
    kept = {image['id'] for image in content['images']}
    content = dict(content, annotations=[one for one in content['annotations'] if one['image_id'] in kept])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
    ways = methods(config, checkpoint, changes)
    images = truth.loadImgs(sorted(truth.getImgIds()))
    if 'SAHI, slices' in ways:
        size, sliced = best_slice(ways.pop('SAHI, slices'), truth, folder)
        ways[f'SAHI, slices of {size} px'] = sliced
        ways.pop('SAHI')
    rows = {way: dict(pixels=0, seconds=0.0, found=[]) for way in ways}
    for look in ways.values():
        look(folder / images[0]['file_name'])  # warm up
    for image in images:
        for way, look in ways.items():
            start, SEEN.pixels = time.process_time(), 0
            predictions = look(folder / image['file_name'])
            rows[way]['seconds'] += (time.process_time() - start) / len(images)
            rows[way]['pixels'] += SEEN.pixels / len(images)
            rows[way]['found'] += coco_format(predictions, image['id'])
    whole = rows['full pyramid']
    print(
        f'\n| {name}, {len(images)} images | AP | AP50 | small | medium | large | Mpx | of the pyramid | s | faster |'
    )
    print('|---|---|---|---|---|---|---|---|---|---|')
    for way, row in rows.items():
        figures = [float(value) for value in average_precision(truth, row.pop('found'))]
        row.update(zip(('AP', 'AP50', 'AP_small', 'AP_medium', 'AP_large'), figures, strict=True))
        cells = [f'{value:.3f}' for value in figures]
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

    def ours(focus: dict | None) -> Callable:
        settings = {**copy.deepcopy(cfg.tta_model.tta_cfg), **changes, 'focus': focus}
        tta = MODELS.build(dict(cfg.tta_model, tta_cfg=settings, module=model))
        follow_config(tta, cfg)
        return partial(detect, tta, whole)

    given = cfg.tta_model.tta_cfg.get('focus') or {}
    found = {'single scale': partial(detect, model, Compose(single)), 'full pyramid': ours(None)}
    for threshold in THRESHOLDS:
        found[f'AutoFocus, threshold {threshold:g}'] = ours(dict(given, threshold=threshold))
    with contextlib.suppress(ImportError):
        found.update(sahi_methods(Namespace(config=config, checkpoint=checkpoint, device='cpu')))
    return found


SEEN = Namespace(pixels=0)


def count_pixels() -> None:
    """Add up in `SEEN` what goes through any detector, padding included."""
    forward = DetDataPreprocessor.forward

    def counting(self: DetDataPreprocessor, data: dict, training: bool = False) -> dict:
        data = forward(self, data, training)
        SEEN.pixels += data['inputs'].shape[0] * data['inputs'].shape[-2] * data['inputs'].shape[-1]
        return data

    DetDataPreprocessor.forward = counting


if __name__ == '__main__':
    main()
