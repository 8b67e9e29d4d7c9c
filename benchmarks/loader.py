"""Chips per second of processor time: images loaded once and kept, beside the same pipeline loading one per chip.

python benchmarks/loader.py [--rounds 3]

Made-up JPEGs with elliptic objects and as much noise as gives them the bytes per pixel of COCO's, or of a camera's, in
one process, as a worker of a loader runs. Masks are compared with mmdet's way, which draws each at the image's size.
Both ways give the same boxes and pixels (tests/datasets/test_chip_batch_sampler.py). Writes results/loader.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from logging import WARNING
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmsniper.chips import ChipKey
from mmsniper.datasets import ChipBatchSampler, ChipDataset, ChipPlanSampler

RESULT = Path(__file__).parent / 'results/loader.json'
RECIPE = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])
# Images, their size, objects per image, noise, batch size, and how many chips the slow way is measured on.
SIZES = {
    '640 x 480': (200, (640, 480), 5, 64, 16, 300),
    '4000 x 3000': (8, (4000, 3000), 20, 32, 2, 25),
}
ROWS = [('640 x 480', False), ('640 x 480', True), ('4000 x 3000', False)]


def main() -> None:
    """Make the images, time both ways in turns, print and save the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=3, help='times that each is measured; the median counts')
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel(WARNING)
    found = []
    print('| JPEGs | | chips per image | loaded per image | ms per chip, one loaded for each | loaded once | |')
    print('|---|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in SIZES.items():
            make_images(Path(folder) / name, *settings[:4])
        for name, masks in ROWS:
            row = dict(images=name, masks=masks, **compare(Path(folder) / name, masks, *SIZES[name][4:], rounds))
            found.append(row)
            print(
                f'| {name} | {"masks" if masks else "boxes"} | {row["chips"]:.1f} | {row["loads"]:.2f} | '
                f'{row["each"]:.2f} | {row["once"]:.2f} | {row["each"] / row["once"]:.2f} times faster |',
                flush=True,
            )
    RESULT.write_text(json.dumps(found, indent=2) + '\n')


def compare(folder: Path, masks: bool, batch_size: int, n_slow: int, rounds: int) -> dict[str, float]:
    """Chips and loads per image, and milliseconds per chip either way."""
    once = dataset(folder, dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=masks))
    each = dataset(folder, dict(type='LoadAnnotations', with_bbox=True, with_mask=masks), cache_mb=0)
    times: dict[str, list[float]] = dict(each=[], once=[])
    n_chips = n_loads = 0
    for epoch in range(rounds + 1):  # the first one warms up
        sampler = ChipPlanSampler(once, seed=epoch)
        keys = [key for batch in ChipBatchSampler(sampler, batch_size, lanes=1) for key in batch]
        before = once.image_cache.n_loaded
        seconds = [timed(each, islice(keys, 0, None, max(len(keys) // n_slow, 1))), timed(once, keys)]
        if epoch:
            n_chips, n_loads = n_chips + len(keys), n_loads + once.image_cache.n_loaded - before
            for way, of in zip(times, seconds, strict=True):
                times[way].append(1000 * of)
    n_images = rounds * len(once.table)
    per_image = dict(chips=n_chips / n_images, loads=n_loads / n_images)
    return {**per_image, **{way: float(np.median(of)) for way, of in times.items()}}


def timed(chips: ChipDataset, keys: Iterable[ChipKey]) -> float:
    """Processor seconds per chip."""
    start, n = time.process_time(), 0
    for key in keys:
        chips[key]
        n += 1
    return (time.process_time() - start) / n


def dataset(folder: Path, annotations: dict, **options: float) -> ChipDataset:
    """The chips of generated images."""
    data = dict(type='CocoDataset', data_root=f'{folder}/', ann_file='annotations.json', data_prefix=dict(img=''))
    data.update(metainfo=dict(classes=('thing',)))
    steps = [
        dict(type='LoadImageFromFile'),
        annotations,
        dict(type='mmsniper.ChipSampler'),
        dict(type='RandomFlip', prob=0.5),
        dict(type='mmsniper.PackChipInputs'),
    ]
    return ChipDataset(data, RECIPE, steps, **options)


def make_images(folder: Path, n_images: int, size: tuple[int, int], n_objects: int, noise: int) -> None:
    """JPEGs with ellipses on them, as a COCO data set."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for n in range(n_images):
        clouds = rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), np.uint8)
        pixels = cv2.resize(cv2.GaussianBlur(clouds, (0, 0), 1), size, interpolation=cv2.INTER_CUBIC)
        pixels = cv2.add(pixels, rng.integers(0, noise, pixels.shape, np.uint8))
        for _ in range(n_objects):
            radii = np.exp(rng.uniform(np.log(6), np.log(150), 2))
            centre = rng.uniform(radii.clip(max=200), np.array(size) - radii.clip(max=200))
            points = (centre + radii * np.stack([np.cos(angles), np.sin(angles)], 1)).clip(0, size)
            cv2.fillPoly(pixels, [points.astype(np.int32)], rng.integers(0, 256, 3).tolist())
            low, extent = points.min(0), np.ptp(points, 0)
            record = dict(id=len(annotations), image_id=n, category_id=1, iscrowd=0, area=float(extent.prod()))
            annotations.append(dict(record, bbox=[*low, *extent], segmentation=[points.round(2).ravel().tolist()]))
        cv2.imwrite(str(folder / f'{n}.jpg'), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append(dict(id=n, file_name=f'{n}.jpg', width=size[0], height=size[1]))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='thing')])
    (folder / 'annotations.json').write_text(json.dumps(content))


if __name__ == '__main__':
    main()
