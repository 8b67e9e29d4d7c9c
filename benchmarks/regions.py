"""Images much larger than a chip: what a window of one costs, by whom it is read, and what a coarse one differs by.

python benchmarks/regions.py [--only windows differences chips test] [--full] [--images FOLDER]

Writes tiled TIFFs of 20,000 x 20,000 px, uncompressed, deflate and, with imagecodecs, JPEG; then measures, each in a
process of its own: 512 px windows by several libraries; chips through the training pipeline against decoding the image;
a test by the demo's detector, untrained, of 6,000 x 6,000 px, or with --full of all (ten minutes); and what is reduced
while it is read against zooming the whole and against the mean of all pixels. What is not installed is named. Times are
CPU seconds, memory is the most that a process had. Writes results/regions.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import tifffile
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmsniper.large_images import LargeImage

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks/results/regions.json'
SIDE, TEST_SIDE, PERIOD, TILE, CHIP = 20000, 6000, 1024, 512, 512
FORMATS = {'uncompressed': None, 'deflate': 'zlib', 'JPEG': 'jpeg'}
ZOOMS = 2.0, 1.0, 0.25
SCALES, MAX_CANVAS = [1.0, 0.25], 2048  # of the test
# Centre and side of the objects in each period.
OBJECTS = [(200, 200, 30), (600, 150, 60), (250, 650, 120), (700, 650, 300)]


def main() -> None:
    """Read the arguments, write the files, measure, print tables."""
    parts = dict(windows=windows, differences=differences, chips=chips, test=test)
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--only', nargs='+', choices=parts, default=parts, help='what to measure')
    parser.add_argument('--full', action='store_true', help='test all 20,000 px')
    parser.add_argument('--images', type=Path, help='a folder of real images, enlarged four times for the differences')
    parser.add_argument('--job', nargs=2, help=argparse.SUPPRESS)  # what the processes are told
    args = parser.parse_args()
    if args.job:
        found = dict(window=window, cut=cut, detect=detect)[args.job[0]](**json.loads(args.job[1]))
        # The most this process had; what its parent had does not count there (Linux).
        peak = int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) / 1024
        print(json.dumps(dict(found, mb=peak)))
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        for name in FORMATS:
            if name == 'JPEG' and find_spec('imagecodecs') is None:
                print('left out: JPEG, which needs imagecodecs')
            elif {'windows', 'chips'} & set(args.only):
                write_files(args.folder, name, SIDE)
        for part in args.only:
            found.update(parts[part](args))
            RESULTS.write_text(json.dumps(found, indent=1) + '\n')


def texture() -> np.ndarray:
    """What every period of the image shows: (PERIOD, PERIOD, 3) uint8, BGR."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (PERIOD, PERIOD, 3), dtype=np.uint8), (0, 0), 3)
    image = cv2.normalize(image, None, 60, 200, cv2.NORM_MINMAX)
    for x, y, side in OBJECTS:
        cv2.circle(image, (x, y), side // 2, rng.integers(0, 256, 3).tolist(), -1)
    return (image + rng.integers(0, 8, image.shape)).astype(np.uint8)


def write_files(folder: Path, name: str, side: int) -> None:
    """An image and its annotations."""
    period, compression = texture()[..., ::-1], FORMATS[name]
    corners = itertools.product((0, TILE), repeat=2)
    tiles = {(y, x): np.ascontiguousarray(period[y : y + TILE, x : x + TILE]) for y, x in corners}
    if name == 'deflate':
        tiles = {place: zlib.compress(tile.tobytes(), 1) for place, tile in tiles.items()}
    in_order = (tiles[y % PERIOD, x % PERIOD] for y, x in itertools.product(range(0, side, TILE), repeat=2))
    shape = dict(shape=(side, side, 3), dtype='uint8', tile=(TILE, TILE), photometric='rgb', metadata=None)
    tifffile.imwrite(folder / f'{name}.tif', in_order, **shape, compression=compression)
    corners = np.arange(0, side - PERIOD, PERIOD).tolist()
    annotations = [
        dict(id=n + 1, image_id=1, category_id=1, iscrowd=0, bbox=[x + a - w / 2, y + b - w / 2, w, w], area=w * w)
        for n, (b, a, (x, y, w)) in enumerate(itertools.product(corners, corners, OBJECTS))
    ]
    image = dict(id=1, file_name=f'{name}.tif', width=side, height=side)
    content = dict(images=[image], categories=[dict(id=1, name='thing')], annotations=annotations)
    (folder / f'{name}.json').write_text(json.dumps(content))


def run(job: str, **arguments: object) -> dict:
    """A job's figures; `missing` says why there are none."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'VIPS_CONCURRENCY': '1', 'GDAL_NUM_THREADS': '1'}
    command = [sys.executable, __file__, '--job', job, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return dict(missing=(done.stderr.strip().splitlines() or ['killed'])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def windows(args: argparse.Namespace) -> dict:
    """512 px windows of each file by each reader."""
    found = {}
    print('\n| | window by | ms | times faster | peak MB | pixels |\n|---|---|---|---|---|---|')
    for path in sorted(args.folder.glob('*.tif')):
        for reader in READERS:
            one = run('window', path=str(path), reader=reader, n=1 if reader == 'OpenCV, whole' else 30)
            found[f'{path.stem}, {reader}'] = one
            figures = f'left out: {one.get("missing", "")[:60]} | | | '
            if 'missing' not in one:
                whole = found[f'{path.stem}, OpenCV, whole']
                same, ratio = one['pixels'] == whole['pixels'], whole['seconds'] / one['seconds']
                figures = f'{one["seconds"] * 1000:.1f} | {ratio:.0f} | {one["mb"]:.0f} | {"same" if same else "other"}'
            print(f'| {path.stem} | {reader} | {figures} |', flush=True)
    return dict(windows=found)


def chips(args: argparse.Namespace) -> dict:
    """Chips of every scale through the training pipeline, against decoding the whole image for one."""
    found = {}
    print(
        '\n| chip of | whole, ms | zoom | OpenImage, ms | times faster | MB, whole | OpenImage |\n' + '|---' * 7 + '|'
    )
    for path in sorted(args.folder.glob('*.tif')):
        whole = run('cut', path=str(path), loader='LoadImageFromFile', scale_idx=[1], n=1)
        ours = run('cut', path=str(path), loader='mmsniper.OpenImage', scale_idx=list(range(len(ZOOMS))), n=40)
        found[path.stem] = dict(whole=whole, windows=ours)
        for zoom, seconds in zip(ZOOMS, ours['seconds'], strict=True):
            ratio = whole['seconds'][0] / seconds
            times = f'{whole["seconds"][0] * 1000:.0f} | {zoom:g} | {seconds * 1000:.1f} | {ratio:.0f}'
            print(f'| {path.stem} | {times} | {whole["mb"]:.0f} | {ours["mb"]:.0f} |', flush=True)
    return dict(chips=found)


def test(args: argparse.Namespace) -> dict:
    """The demo's detector on an image, by tiles read from the file."""
    side = SIDE if args.full else TEST_SIDE
    (folder := args.folder / 'test').mkdir()
    write_files(folder, 'deflate', side)
    found = run('detect', path=str(folder / 'deflate.tif'), side=side)
    print(f'\ntest of {side} x {side} px at {SCALES}, tiles of {MAX_CANVAS} px: {found}')
    return {f'test of {side} px': found}


def differences(args: argparse.Namespace) -> dict:
    """What is reduced while it is read, against zooming the whole and against the mean of all pixels: mean and 99 %."""
    sources = {'synthetic': [np.tile(texture(), (3, 4, 1))]}
    if args.images:
        some = [cv2.imread(str(path)) for path in sorted(args.images.iterdir())[:8]]
        real = [cv2.resize(one, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for one in some if one is not None]
        sources[f'{len(real)} real images, enlarged 4 times'] = real
    found = {}
    print('\nDifferences of 255 grey values, mean / 99 %; today: bilinear zoom of the whole; ideal: mean of its pixels')
    print('\n| images | zoom | ours to today | ours to ideal | today to ideal |\n|---|---|---|---|---|')
    for (source, images), kind, zoom in itertools.product(sources.items(), ('jpg', 'tif'), (0.25, 0.1, 0.05)):
        parts = [apart(args.folder / f'difference.{kind}', image, zoom) for image in images]
        found[f'{source}, {kind}, {zoom}'] = mean = np.mean(parts, axis=0).round(2).tolist()
        print(f'| {source}, {kind} | {zoom} | ' + ' | '.join(f'{a:.2f} / {b:.0f}' for a, b in mean) + ' |')
    return dict(differences=found)


def apart(path: Path, image: np.ndarray, zoom: float) -> list[tuple[float, float]]:
    """Of one image as a file: ours to today's, ours to ideal, today's to ideal."""
    options = dict(jpg=[cv2.IMWRITE_JPEG_QUALITY, 95], tif=[cv2.IMWRITE_TIFF_COMPRESSION, 8])
    cv2.imwrite(str(path), image, options[path.suffix[1:]])
    whole, file = cv2.imread(str(path)), LargeImage(path)
    size = round(whole.shape[1] * zoom), round(whole.shape[0] * zoom)
    today, ideal = (cv2.resize(whole, size, interpolation=by) for by in (cv2.INTER_LINEAR, cv2.INTER_AREA))
    ours = file.read((0, 0, *file.size), size)
    pairs = [np.abs(a.astype(int) - b) for a, b in ((ours, today), (ours, ideal), (today, ideal))]
    return [(float(pair.mean()), float(np.percentile(pair, 99))) for pair in pairs]


READERS = {
    'OpenCV, whole': lambda path, x, y: cv2.imread(path)[y : y + CHIP, x : x + CHIP],
    'LargeImage (tifffile)': lambda path, x, y: LargeImage(path).read((x, y, x + CHIP, y + CHIP), (CHIP, CHIP)),
    'rasterio': lambda path, x, y: np.moveaxis(
        import_module('rasterio').open(path).read(window=((y, y + CHIP), (x, x + CHIP))), 0, 2
    )[..., ::-1],
    'pyvips': lambda path, x, y: (
        import_module('pyvips').Image.new_from_file(path, access='random').crop(x, y, CHIP, CHIP).numpy()[..., ::-1]
    ),
}


def window(path: str, reader: str, n: int) -> dict:
    """Open a file and read a window, n times."""
    if n > 1:
        READERS[reader](path, 0, 0)  # imports
    places = np.random.default_rng(0).integers(0, SIDE - CHIP, (n, 2)).tolist()
    start = time.process_time()
    pixels = [hashlib.md5(np.ascontiguousarray(READERS[reader](path, x, y)).tobytes()).hexdigest() for x, y in places]
    return dict(seconds=(time.process_time() - start) / n, pixels=pixels[0])


def cut(path: str, loader: str, scale_idx: list[int], n: int) -> dict:
    """Cut n chips of each scale as training does, the image opened anew for each."""
    from mmsniper.datasets import ChipDataset

    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/sniper_large_images.py').train_dataloader.dataset
    place = dict(ann_file=str(Path(path).with_suffix('.json')), data_prefix=dict(img=str(Path(path).parent)))
    data = dict(type='CocoDataset', **place, metainfo=dict(classes=('thing',)))
    dataset = ChipDataset(data, cfg.planner, [dict(type=loader), *cfg.pipeline[1:]])
    plan, seconds = dataset.current_plan, []
    for scale in scale_idx:
        keys = [key for key in map(plan.key, range(len(plan))) if key.scale_idx == scale]
        keys = [keys[k] for k in np.random.default_rng(0).permutation(len(keys))[:n]]
        start = time.process_time()
        for key in keys:
            dataset[key]
        seconds.append((time.process_time() - start) / len(keys))
    return dict(seconds=seconds)


def detect(path: str, side: int) -> dict:
    """Test the demo's detector, untrained, on the image."""
    import torch
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample

    torch.set_num_threads(1)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = Config.fromfile(ROOT / 'configs/demo/sniper_tiny_shapes.py').model
    cfg = dict(scales=SCALES, ranges=None, max_canvas=MAX_CANVAS, batch_pixels=MAX_CANVAS**2)
    tta = MODELS.build(dict(type='mmsniper.MultiScaleChipTTA', module=model, tta_cfg=cfg)).eval()
    sample = DetDataSample(metainfo=dict(img_path=path, ori_shape=(side, side), img_shape=(side, side)))
    start = time.process_time()
    found = tta.test_step(dict(data_samples=[sample]))[0].pred_instances
    return dict(seconds=time.process_time() - start, detections=len(found))


if __name__ == '__main__':
    main()
