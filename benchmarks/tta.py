"""Multi-scale inference against other ways to look closely: time and AP, one checkpoint, one run.

python benchmarks/tta.py CHECKPOINT [--config configs/demo/sniper_tiny_shapes.py] [--soft-nms]

Generates test images of 960 x 960 and of 3000 x 2250 px and detects on each, image by image and method by method, from
file to boxes: single scale; mmdet's DetTTAModel and ours on the same scales; ours with tiles; and SAHI's sliced
prediction (`pip install --no-deps sahi`; left out if missing) with its defaults and with its best slice size on the
first images.
"""

import argparse
import contextlib
import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from arms import ROOT, run
from looks import FIGURES, KEYS, LOAD, detect, measure, sahi_methods, silent, with_best_slice
from mmcv.ops import batched_nms
from mmdet.apis import init_detector
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from pycocotools.coco import COCO

from mmsniper.chips import build_planner
from mmsniper.models.pyramid import choose_pyramid, find_planner, follow_config
from mmsniper.models.soft_nms import soft_nms

SETS = {
    '960 px': ('--width 960 960 --height 960 960 --objects 12 12 --distractors 20 20', 1024),
    '3000 px': ('--width 3000 3000 --height 2250 2250 --objects 60 60 --distractors 120 120', 2048),
}
FLIP_KEYS = (*KEYS, 'flip', 'flip_direction')
FEWER_PIXELS = dict(
    scales=[1.6, 0.6, (256, 256)],
    ranges=[(None, 64), (48, 240), (110, None)],
    max_canvas=1536,
    batch_pixels=1536 * 1536,
)


def main() -> None:
    """Read the arguments, print a table per image size."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('checkpoint', nargs='?', help='of the config; make demo writes work_dirs/demo/epoch_*.pth')
    parser.add_argument('--config', default=str(ROOT / 'configs/demo/sniper_tiny_shapes.py'), help='with tta_model')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/tta'), help='where images are generated')
    parser.add_argument('--images', type=int, nargs=2, default=[40, 8], help='images of each size')
    parser.add_argument('--device', default='cpu', help='such as cuda:0')
    parser.add_argument('--soft-nms', action='store_true', help='time soft-NMS alone')
    args = parser.parse_args()
    torch.set_num_threads(1)  # the same for all, and steady
    if args.soft_nms:
        time_soft_nms(args.device)
    if not args.checkpoint:
        return
    for (name, (shapes, tile)), count in zip(SETS.items(), args.images, strict=True):
        data_root = args.work_dir / name.replace(' ', '')
        command = [ROOT / 'tools/make_shapes_dataset.py', data_root, '--train', 0, '--val', count, *shapes.split()]
        run([*command, '--empty', 0, '--seed', 1], args.work_dir / 'data.log')
        with silent():
            truth = COCO(str(data_root / 'annotations/val.json'))
        compare(name, methods(args, tile), truth, data_root / 'val', args.device)


def compare(name: str, detectors: dict[str, Callable], truth: COCO, folder: Path, device: str) -> None:
    """Run every method on every image and print the table."""
    rows = measure(with_best_slice(detectors, truth, folder), truth, folder, device)
    print(f'\n| {name}, {len(truth.imgs)} images | AP | AP50 | small | medium | large | s per image | time / ours |')
    print('|---|---|---|---|---|---|---|---|')
    for method, row in rows.items():
        figures = ' | '.join(f'{row[figure]:.3f}' for figure in FIGURES)
        print(f'| {method} | {figures} | {row["seconds"]:.2f} | {row["seconds"] / rows["ours"]["seconds"]:.2f} |')


def methods(args: argparse.Namespace, tile: int) -> dict[str, Callable]:
    """Detectors by name: from a path to (boxes (K, 4) xyxy, scores (K,), labels (K,))."""
    cfg = Config.fromfile(args.config)
    model = init_detector(cfg, args.checkpoint, device=args.device)
    single = [step for step in cfg.test_dataloader.dataset.pipeline if step.type != 'LoadAnnotations']
    single = [{**step, 'meta_keys': KEYS} if step['type'] == 'PackDetInputs' else step for step in single]
    whole = [LOAD, dict(type='PackDetInputs', meta_keys=KEYS[:-1])]
    tta = cfg.tta_model.tta_cfg
    planner = find_planner(cfg)
    scales, ranges = choose_pyramid(tta.scales, tta.ranges, build_planner(planner) if planner else None)
    tta.update(scales=list(scales), ranges=ranges)
    resizes = [dict(type='Resize', scale=scale, keep_ratio=True) for scale in tta.scales]
    flips, packs = [dict(type='RandomFlip', prob=0.0)], [dict(type='PackDetInputs', meta_keys=FLIP_KEYS)]
    views = [LOAD, dict(type='TestTimeAug', transforms=[resizes, flips, packs])]
    mmdet_cfg = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=tta.max_per_img)

    def ours(**changes: object) -> torch.nn.Module:
        built = MODELS.build(dict(**{**cfg.tta_model, 'tta_cfg': {**copy.deepcopy(tta), **changes}}, module=model))
        follow_config(built, cfg)
        return built

    found = {
        'single scale': partial(detect, model, Compose(single)),
        "mmdet's DetTTAModel": partial(
            detect, MODELS.build(dict(type='DetTTAModel', tta_cfg=mmdet_cfg, module=model)), Compose(views)
        ),
        'ours': partial(detect, ours(max_canvas=10**6), Compose(whole)),
        f'ours, tiles of {tile} px': partial(detect, ours(max_canvas=tile), Compose(whole)),
        'ours, fewer pixels': partial(detect, ours(**FEWER_PIXELS), Compose(whole)),
        "ours, merged as mmdet's": partial(
            detect, ours(nms=mmdet_cfg.nms, ranges=None, max_canvas=10**6), Compose(whole)
        ),
    }
    with contextlib.suppress(ImportError):
        found.update(sahi_methods(args.config, args.checkpoint, args.device))
    return found


def time_soft_nms(device: str, repeats: int = 5) -> None:
    """Ours against mmcv's, median of some repeats, on boxes in clusters, of 80 classes and of one."""
    settings = dict(sigma=0.55, min_score=1e-3, method='gaussian', iou_threshold=0.3)
    print('| boxes | classes | mmcv, ms | ours, ms | mmcv / ours |')
    print('|---|---|---|---|---|')
    for n_classes in (80, 1):
        for count in (1000, 3000, 10000, 30000):
            boxes, scores, labels = (part.to(device) for part in clustered_boxes(count, n_classes))
            theirs = partial(batched_nms, boxes, scores, labels, dict(type='soft_nms', split_thr=10**9, **settings))
            ours = partial(soft_nms, boxes, scores, labels, **settings)
            ours()  # compiles
            took = {call: [] for call in (theirs, ours)}
            for _ in range(repeats):
                for call, times in took.items():
                    start = time.perf_counter()
                    call()
                    if device != 'cpu':
                        torch.cuda.synchronize()
                    times.append(1000 * (time.perf_counter() - start))
            a, b = (float(np.median(times)) for times in took.values())
            print(f'| {count} | {n_classes} | {a:.1f} | {b:.1f} | {a / b:.1f} |', flush=True)


def clustered_boxes(count: int, n_classes: int) -> tuple[torch.Tensor, ...]:
    """Some 20 boxes around each of many objects of 10 to 300 px, as detectors leave them: boxes, scores, labels."""
    rng = np.random.default_rng(0)
    n_objects = max(count // 20, 1)
    centres, sides = rng.uniform(0, 2000, (n_objects, 2)), np.exp(rng.uniform(np.log(10), np.log(300), (n_objects, 2)))
    which = rng.integers(n_objects, size=count)
    sides, classes = sides[which], rng.integers(n_classes, size=n_objects)[which]
    centres = centres[which] + rng.normal(0, 0.1, (count, 2)) * sides
    sides = sides * np.exp(rng.normal(0, 0.1, (count, 2)))
    boxes = torch.from_numpy(np.hstack([centres - sides / 2, centres + sides / 2])).float()
    return boxes, torch.from_numpy(rng.uniform(0.01, 1, count)).float(), torch.from_numpy(classes)


if __name__ == '__main__':
    main()
