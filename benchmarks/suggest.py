"""Whether suggested scales train better than COCO's and those of a table for all, at equal pixels through the network.

python benchmarks/suggest.py --hituav FOLDER [--work-dir work_dirs/suggest] [--seeds 3] [--steps 300] [--jobs 1]
    [--arms suggested coco table]

The demo's detector from random weights on three data sets: HIT-UAV (600 training images of 640 x 512; FOLDER has
train.json, val.json, train/ and val/), and the generated shapes, shrunk and enlarged four times. Every step has the
pixels of eight chips of 256 px. COCO's scales and the table's keep the chips they were made for, 512 px, two per
step: at 256 px their coarsest scale would hold half of its objects only. Each run is tested at all of its scales and
at one: a suggested config's own, else 1333 x 800. What is finished is not done again; each run is a file in
results/suggest/.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from arms import DEMO, ROOT, arguments, evaluate, run
from looks import silent
from pycocotools.coco import COCO
from regime_data import with_regions

from mmsniper.chips import ChipPlanner
from mmsniper.suggest import Base, DataFiles, config_text, read_base, read_fingerprint, suggest

RESULTS = ROOT / 'benchmarks' / 'results' / 'suggest'
CONFIG = DEMO / 'sniper_tiny_shapes.py'
DATA = {'hituav': 'HIT-UAV', 'shrunk': 'shapes, shrunk 4 x', 'enlarged': 'shapes, enlarged 4 x'}
ARMS = {'suggested': 'suggested', 'coco': "COCO's", 'table': "the table's"}
COCO_SCALES = dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])
TINY = dict(scales=[3.0, 1.0], valid_ranges=[(None, 60), (40, None)])
LARGE = dict(scales=[1.0, (512, 512)], valid_ranges=[(None, 250), (200, None)])
# The row whose description is nearest: objects of 6 to 150 px, 3 to 100 px, 40 to 1600 px.
ROWS = dict(hituav=TINY, shrunk=TINY, enlarged=LARGE)
STEP_PIXELS = 8 * 256**2
# At COCO's scales a test of one enlarged image takes 120 million network pixels.
N_TRAIN, N_VAL = 200, dict(hituav=50, shrunk=100, enlarged=8)


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    parser = arguments(__doc__.split('\n')[0], 'suggest')
    parser.add_argument('--hituav', type=Path, help='folder of HIT-UAV; without it, it is left out')
    parser.add_argument('--steps', type=int, default=300, help='steps of a run')
    parser.add_argument('--arms', nargs='+', default=list(ARMS), choices=list(ARMS), help='scales')
    parser.add_argument('--only', nargs='+', default=list(DATA), choices=list(DATA), help='data sets')
    args = parser.parse_args()
    names = [name for name in args.only if name != 'hituav' or args.hituav]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names:
        folder = make_data(name, args)
        for arm in args.arms:
            write_config(name, arm, folder, args)
    with ThreadPoolExecutor(args.jobs) as jobs:
        done = [
            jobs.submit(one_run, name, arm, seed, args)
            for seed in range(args.seeds)
            for name in names
            for arm in args.arms
        ]
        for each in done:
            each.result()
    print(table())


def one_run(name: str, arm: str, seed: int, args: object) -> None:
    """Train and test one detector, unless it is done; write what was measured."""
    result = RESULTS / f'{name}_{arm}_{seed}.json'
    if result.exists():
        return
    folder = make_data(name, args)
    config, about = write_config(name, arm, folder, args)
    out = args.work_dir / f'{name}_{arm}_{seed}'
    log = out / 'log.txt'
    seeded = ['--cfg-options', f'randomness.seed={seed}']
    start = time.perf_counter()
    if not (out / 'last_checkpoint').exists():
        run([ROOT / 'tools/train.py', config, '--work-dir', out, *seeded], log)
    seconds = time.perf_counter() - start
    with silent():
        truth = COCO(str(folder / 'val.json'))
    figures = {}
    for test, options in dict(tta=['--tta'], one=[]).items():
        found = out / test
        command = [ROOT / 'tools/test.py', config, (out / 'last_checkpoint').read_text(), '--work-dir', found, *options]
        run([*command, *seeded, f'test_evaluator.outfile_prefix={found}'], log)
        figures[test] = dict(zip(('AP', 'AP50', 'false'), evaluate(truth, Path(f'{found}.bbox.json')), strict=True))
    measured = dict(data=name, arm=arm, seed=seed, **about, train_seconds=round(seconds), **figures)
    result.write_text(json.dumps(measured, indent=1) + '\n')


def write_config(name: str, arm: str, folder: Path, args: object) -> tuple[Path, dict]:
    """Config of a data set and an arm, and what to say of it; not planned again if it is there."""
    path = args.work_dir / 'configs' / f'{name}_{arm}.py'
    planned = path.with_suffix('.json')
    if planned.exists():
        return path, json.loads(planned.read_text())
    base = read_base(str(CONFIG))
    data = read_fingerprint(str(folder / 'train.json'))
    path.parent.mkdir(parents=True, exist_ok=True)
    images = folder / 'images'
    files = DataFiles(folder / 'train.json', folder / 'val.json', images, images, [], len(data))
    found = suggest(data, base, epochs=1)
    text = config_text(data, base, found, files, f'{DATA[name]}, {ARMS[arm]}')
    planner = found.planner
    if arm != 'suggested':
        recipe = dict(coco=COCO_SCALES, table=ROWS[name])[arm]
        chips = dict(chip_size=512, stride=32)
        planner = ChipPlanner(**recipe, **chips)
        text += f'train_dataloader["dataset"]["planner"] = dict({recipe}, **{chips})\n'
        text += "test_pipeline[1] = dict(type='Resize', scale=(1333, 800), keep_ratio=True)\n"
    batch = round(STEP_PIXELS / planner.chip_size**2)
    steps = round(args.steps * STEP_PIXELS / (batch * planner.chip_size**2))
    path.write_text(text + equal_steps(base, batch, steps))
    about = dict(settings=planner.settings, batch=batch, steps=steps)
    planned.write_text(json.dumps(about))
    return path, about


def equal_steps(base: Base, batch: int, steps: int) -> str:
    """End of a config: so many steps at one rate for all, no validation, one checkpoint."""
    return f"""
train_dataloader.update(batch_size={batch}, num_workers=0, persistent_workers=False)
val_dataloader.update(num_workers=0, persistent_workers=False)
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters={steps}, val_interval=10**9)
val_cfg = val_dataloader = val_evaluator = None
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=0, end={steps}),
]
optim_wrapper = dict(optimizer=dict(lr={base.lr}))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval={steps}), logger=dict(interval=20))
log_processor = dict(by_epoch=False)
"""


def make_data(name: str, args: object) -> Path:
    """Folder of a data set, with train.json, val.json and images/; made if it is missing."""
    folder = args.work_dir / 'data' / name
    if (folder / 'val.json').exists():
        return folder
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for split, most in (('train', N_TRAIN), ('val', N_VAL[name])):
        if name == 'hituav':
            source, images, zoom = args.hituav / f'{split}.json', args.hituav / split, 1.0
        else:
            shapes = args.work_dir / 'data' / 'shapes'
            if not (shapes / 'annotations/val.json').exists():
                numbers = ['--train', N_TRAIN, '--val', max(N_VAL.values())]
                run([ROOT / 'tools/make_shapes_dataset.py', shapes, *numbers], args.work_dir / 'data.log')
            source, images = shapes / f'annotations/{split}.json', shapes / split
            zoom = 0.25 if name == 'shrunk' else 4.0
        content = zoomed(json.loads(source.read_text()), images, folder / 'images', most, zoom, split)
        (folder / f'{split}.json').write_text(json.dumps(content))
    return folder


def zoomed(content: dict, images: Path, out: Path, most: int, zoom: float, split: str) -> dict:
    """Write images of a data set, spread over it, in another size; their annotations."""
    chosen = [content['images'][n] for n in np.linspace(0, len(content['images']) - 1, most).astype(int)]
    content = with_regions(content)
    kept, annotations = [], []
    for image in chosen:
        picture = cv2.imread(str(images / image['file_name']))
        size = [max(round(side * zoom), 1) for side in (image['width'], image['height'])]
        if zoom != 1:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
        name = f'{split}_{image["file_name"]}'
        cv2.imwrite(str(out / name), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        kept.append(dict(id=image['id'], file_name=name, width=size[0], height=size[1]))
        factors = np.array([size[0] / image['width'], size[1] / image['height']] * 2)
        for annotation in content['annotations']:
            if annotation['image_id'] != image['id']:
                continue
            bbox = (np.array(annotation['bbox']) * factors).round(2).tolist()
            about = {key: annotation[key] for key in ('image_id', 'category_id', 'iscrowd')}
            annotations.append(dict(about, bbox=bbox, area=bbox[2] * bbox[3]))
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
    return dict(images=kept, annotations=annotations, categories=content['categories'])


def table() -> str:
    """What the runs have measured, as a markdown table."""
    rows = ['| images | scales of | chips | AP, all scales | AP, one scale |', '|---|---|---|---|---|']
    for name, title in DATA.items():
        for arm, label in ARMS.items():
            runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f'{name}_{arm}_*.json'))]
            if not runs:
                continue
            cells = [spread([measured[test]['AP'] for measured in runs]) for test in ('tta', 'one')]
            settings = runs[0]['settings']
            chips = f'{settings["chip_size"]} px, {len(settings["scales"])} scales'
            rows.append(f'| {title} | {label} | {chips} | {" | ".join(cells)} |')
    return '\n'.join(rows)


def spread(figures: list[float]) -> str:
    """Mean and range of some runs."""
    return f'{np.mean(figures):.3f} ({min(figures):.3f} to {max(figures):.3f}), {len(figures)} seeds'


if __name__ == '__main__':
    main()
