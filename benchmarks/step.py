"""What a training step costs against its pixels: SNIPER's chips beside a single scale and SNIP, part by part.

python benchmarks/step.py [--network demo|r50] [--device cpu|cuda] [--checkpoint FILE] [--rounds N] [--work-dir DIR]

Each recipe trains its own batches of generated images in turn, at a learning rate of 0, so that every round does the
same work. Seconds are of processor time, one thread, or of the GPU, with automatic mixed precision; per million pixels
of network input, padding included. An epoch takes that times its pixels, so the ratio of two recipes is that of their
epochs' seconds over that of their epochs' pixels. Those of r50 are the full-size configs, with their own batch norm:
chips train it.

Memory: the peak of a step with four chips of 512 px beside SNIP's finest canvas of one 640 x 480 px image, each in a
process of its own. With --device cuda also samples per second from the loader, what share of the time the step waits
for it, and the largest batch in 16 GB.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from arms import ROOT, run
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from timed_step import GPU_MEMORY, Step, on_gpu, peak_of_a_step

from mmsniper.compat import allow_mmengine_checkpoints

RESULTS = ROOT / 'benchmarks' / 'results'
SINGLE_SCALE = ROOT / 'configs/multi_scale/single-scale_faster-rcnn_r50_fpn_coco.py'
FULL_SIZE = {
    'SNIPER': ROOT / 'configs/sniper/sniper_faster-rcnn_r50_fpn_coco.py',
    'single scale': SINGLE_SCALE,
    'SNIP': ROOT / 'configs/snip/snip_faster-rcnn_r50_fpn_coco.py',
    'SNIPER, frozen batch norm': ROOT / 'configs/sniper/sniper_faster-rcnn_r50_fpn_frozen-bn_coco.py',
}
DEMO = ROOT / 'configs/demo/sniper_tiny_shapes.py'
# Per network and recipe: samples of a batch on the CPU, batches. On a GPU a batch is the config's.
BATCHES = {
    'demo': {'SNIPER': (8, 6), 'single scale': (2, 2), 'SNIP': (1, 6)},
    'r50': {'SNIPER': (2, 2), 'single scale': (1, 1), 'SNIP': (1, 3), 'SNIPER, frozen batch norm': (2, 2)},
}
IMAGES = {'demo': [], 'r50': ['--width', 640, 640, '--height', 480, 480]}
PARTS = ['preprocessing', 'backbone, neck', 'RPN', 'proposals', 'RoI head', 'backward', 'optimizer', 'other']


def main() -> None:
    """Read the arguments, measure, print the tables, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--network', choices=BATCHES, default='demo', help="the demo's or R-50-FPN")
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='where the step runs')
    parser.add_argument('--checkpoint', type=Path, help='weights of the network; random by default')
    parser.add_argument('--rounds', type=int, help='times each batch is measured; default 5, 2 for r50 on the CPU')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/step'), help='where images are written')
    parser.add_argument('--peak', help=argparse.SUPPRESS)  # a subprocess of memory()
    args = parser.parse_args()
    torch.set_num_threads(1)
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('ERROR')
    allow_mmengine_checkpoints()
    cuda = args.device == 'cuda'
    configs = recipes(args.network, make_images(args))
    if args.peak:
        print(peak_of_a_step(Step(configs[args.peak], args, 4 if args.peak == 'SNIPER' else 1, 1), cuda))
        return
    batches = {name: (None, 8) if cuda else of for name, of in BATCHES[args.network].items()}
    # Before anything large is here: a process starts with the peak of its parent.
    results = dict(peak_memory_mb=memory(args)) if args.network == 'r50' else {}
    steps = {name: Step(cfg, args, *batches[name]) for name, cfg in configs.items()}
    rounds = args.rounds or (2 if args.network == 'r50' and not cuda else 5)
    results.update(seconds_per_megapixel=measure(steps, rounds), rounds=rounds, checkpoint=bool(args.checkpoint))
    del steps
    if cuda:
        results['gpu'] = {name: on_gpu(cfg, args) for name, cfg in configs.items()}
    report(results)
    path = RESULTS / f'step_{args.network}{"_cuda" if cuda else ""}.json'
    path.write_text(json.dumps(results, indent=2) + '\n')


def make_images(args: argparse.Namespace) -> dict:
    """Generate the images unless they are there; the settings of a COCO data set of them."""
    root = args.work_dir / f'{args.network}_{args.device}'
    if not (root / 'annotations/train.json').exists():
        root.mkdir(parents=True)
        n_images = 24 if args.device == 'cpu' else 400  # the loader is not to start anew while it is measured
        command = [ROOT / 'tools/make_shapes_dataset.py', root, '--train', n_images, '--val', 0]
        run([*command, *IMAGES[args.network]], root / 'data.log')
    return dict(
        data_root=f'{root}/',
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(Config.fromfile(DEMO).metainfo),
    )


def recipes(network: str, data: dict) -> dict[str, Config]:
    """The training configs to compare, on the given images; of the demo's network all but the labels and data."""
    if network == 'r50':
        configs = {name: Config.fromfile(path) for name, path in FULL_SIZE.items()}
    else:
        configs = {name: Config.fromfile(DEMO) for name in BATCHES[network]}
        plain, snip = Config.fromfile(SINGLE_SCALE), configs['SNIP'].train_dataloader
        configs['single scale'].model.train_cfg = plain.model.train_cfg
        configs['single scale'].train_dataloader = plain.train_dataloader
        for transform in plain.train_dataloader.dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale = next(of.scale for of in configs['SNIP'].test_pipeline if of.type == 'Resize')
        planner = snip.dataset.planner
        snip.dataset.planner = dict(type='PyramidPlanner', scales=planner.scales, valid_ranges=planner.valid_ranges)
        snip.batch_size = 1
    configs['SNIP'].train_dataloader.sampler.shuffle = False  # all scales of an image, one after the other
    for name, cfg in configs.items():
        dataset = cfg.train_dataloader.dataset
        (dataset if name == 'single scale' else dataset.dataset).update(data)
        cfg.optim_wrapper.optimizer.lr = 0.0
        cfg.model.backbone.init_cfg = None
    return configs


def measure(steps: dict[str, Step], rounds: int) -> dict[str, dict[str, float]]:
    """Per recipe, seconds by part and million pixels; recipes take turns, of the rounds the median counts."""
    for step in steps.values():
        step.run(step.batches[step.pixels.index(min(step.pixels))])
    measured = {name: [[] for _ in step.batches] for name, step in steps.items()}
    for _ in range(rounds):
        for name, step in steps.items():
            for of, batch in zip(measured[name], step.batches, strict=True):
                of.append(step.run(batch))
    table = {}
    for name, step in steps.items():
        megapixels = sum(step.pixels) / 1e6
        table[name] = {
            part: sum(statistics.median(run[part] for run in runs) for runs in measured[name]) / megapixels
            for part in PARTS
        }
        table[name]['step'] = sum(table[name].values())
        table[name]['loader'] = step.loading / megapixels
    return table


def memory(args: argparse.Namespace) -> dict[str, float]:
    """Peak memory in MB of a step, above what was there before it, of chips and of SNIP's finest canvas."""
    peaks = {}
    for name in ('SNIPER', 'SNIP'):
        command = [sys.executable, __file__, '--network', args.network, '--device', args.device, '--peak', name]
        done = subprocess.run([*command, '--work-dir', args.work_dir], check=True, capture_output=True, text=True)
        peaks[name] = float(done.stdout.split()[-1])
    return peaks


def report(results: dict) -> None:
    """Print the tables."""
    table = results['seconds_per_megapixel']
    print(f'| seconds per million pixels | {" | ".join(table)} |')
    print('|---|' + '---|' * len(table))
    for part in [*PARTS, 'step', 'loader']:
        print(f'| {part} | {" | ".join(f"{of[part]:.4f}" for of in table.values())} |')
    for name in (name for name in table if name.startswith('SNIPER')):
        for base in ('single scale', 'SNIP'):
            alone, loading = (
                sum(table[name][part] for part in parts) / sum(table[base][part] for part in parts)
                for parts in (['step'], ['step', 'loader'])
            )
            print(f'{name}: {alone:.2f} times {base} per pixel, {loading:.2f} with the loader in the same process')
    if peaks := results.get('peak_memory_mb'):
        chips, canvas = peaks['SNIPER'], peaks['SNIP']
        print(f'Peak memory: four chips {chips:.0f} MB, a finest canvas of SNIP {canvas:.0f} MB: {chips / canvas:.2f}')
    for name, of in results.get('gpu', {}).items():
        print(
            f'{name}: {of["samples_per_second"]:.1f} samples per second, {of["waiting"]:.0%} of the time waiting for '
            f'the loader; at most {of["largest_batch"]} samples in {GPU_MEMORY / 2**30:.0f} GB'
        )


if __name__ == '__main__':
    main()
