"""Time and memory from an annotation file of COCO's size to the first chip: reading, checking, boxes, plan.

    python benchmarks/startup.py [--images 118000] [--planned 2000000]

The file (433 MB at 118,000 images) is made up, with polygons as long as COCO's. It is loaded in a process of its own,
and in another one by mmdet's CocoDataset, which only reads. A third one plans two epochs of many more images, as
training holds them. Writes results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / 'results/startup.json'
RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])


def write_annotations(path: Path, n_images: int) -> None:
    """A COCO file of made-up objects, 7.3 per image, with polygons of 12 to 76 numbers."""
    rng = np.random.default_rng(0)
    categories = ', '.join(f'{{"id": {n}, "name": "class {n}", "supercategory": "thing"}}' for n in range(80))
    with path.open('w') as file:
        file.write(f'{{"categories": [{categories}], "images": [')
        for n in range(n_images):
            comma = ', ' if n else ''
            file.write(f'{comma}{{"id": {n}, "file_name": "{n:012}.jpg", "width": 640, "height": 480, "license": 3}}')
        file.write('], "annotations": [')
        number = 0
        for n in range(n_images):
            for _ in range(rng.poisson(7.3)):
                size = np.exp(rng.uniform(np.log(8), np.log(400), 2)).clip(4, 470)
                corner = rng.uniform(0, [640, 480] - np.minimum(size, [639, 479]))
                points = (corner + rng.uniform(0, 1, (rng.integers(6, 39), 2)) * size).round(2).ravel().tolist()
                box = [round(float(v), 2) for v in (*corner, *np.minimum(size, [640, 480] - corner))]
                record = dict(segmentation=[points], area=box[2] * box[3], iscrowd=0, image_id=n, bbox=box)
                record.update(category_id=int(rng.integers(80)), id=number)
                file.write((', ' if number else '') + json.dumps(record))
                number += 1
        file.write(']}')


def measure(kind: str, path: str) -> dict[str, float]:
    """CPU seconds and memory, less what the imports take, of one way to load a file; run in a process of its own."""
    from mmdet.datasets import CocoDataset
    from mmengine.registry import init_default_scope

    from mmsniper.datasets import ChipBatchSampler, ChipDataset, ChipPlanSampler

    init_default_scope('mmdet')
    data = dict(type='CocoDataset', ann_file=path, data_prefix=dict(img='images/'))
    data.update(metainfo=dict(classes=tuple(f'class {n}' for n in range(80))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = {}
    start = time.process_time()
    if kind == 'mmdet':
        data.pop('type')
        CocoDataset(**data, pipeline=[])
        seconds['load'] = time.process_time() - start
    else:
        masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
        dataset = ChipDataset(data, RECIPE, [masks])
        seconds['load'] = time.process_time() - start
        start = time.process_time()
        sampler = ChipPlanSampler(dataset, seed=0)
        seconds['first plan'] = time.process_time() - start
        start = time.process_time()
        next(iter(ChipBatchSampler(sampler, 16)))
        seconds['first batch'] = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(seconds, total=sum(seconds.values()), gigabytes=peak / 2**20, imports=before / 2**20)


def plan_many(n_images: int) -> dict[str, float]:
    """CPU seconds and memory of the boxes of many images, the plans of two epochs and an epoch's order."""
    from mmsniper.chips import BoxTable, ChipPlan, ChipPlanner
    from mmsniper.datasets.epoch_order import Deal, epoch_order

    def images() -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        rng = np.random.default_rng(0)
        for _ in range(n_images):
            size = np.exp(rng.uniform(np.log(8), np.log(400), (rng.poisson(7.3), 2)))
            corner = rng.uniform(0, 1, size.shape) * ([640, 480] - np.minimum(size, [639, 479]))
            yield np.concatenate([corner, corner + size], axis=1), (640, 480)

    table = BoxTable.build(images())
    start = time.process_time()
    plans = [ChipPlan.draw(ChipPlanner(**RECIPE), table, 0, epoch, 1) for epoch in (0, 1)]
    seconds = (time.process_time() - start) / 2
    order = epoch_order(plans[0].image_idx, Deal(16, 8), True, len(plans[0]), np.random.default_rng(0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(images=n_images, boxes=len(table.bboxes), chips=len(order.rows), plan=seconds, gigabytes=peak / 2**20)


def main() -> None:
    """Write the file, measure both ways, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=118_000, help='in the file')
    parser.add_argument('--planned', type=int, default=2_000_000, help='images to plan without a file')
    parser.add_argument('--measure', nargs=2, metavar=('KIND', 'FILE'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        kind, path = args.measure
        print(json.dumps(plan_many(args.planned) if kind == 'plan' else measure(kind, path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'annotations.json'
        write_annotations(path, args.images)
        found = dict(images=args.images, megabytes=round(path.stat().st_size / 1e6))
        for kind in ('mmdet', 'chips', 'plan'):
            command = [sys.executable, __file__, '--planned', str(args.planned), '--measure', kind, str(path)]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            found[kind] = json.loads(run.stdout.splitlines()[-1])
            print(kind, {name: round(value, 2) for name, value in found[kind].items()}, flush=True)
    RESULT.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
