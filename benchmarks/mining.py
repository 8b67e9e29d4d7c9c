"""Memory and time of mining negative chips, and the size of the file for a data set as large as COCO.

python benchmarks/mining.py [--images 10000] [--proposals 900] [--stored 118000]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from planner import CHIP, RANGES, SCALES, STRIDE, random_boxes

from mmsniper.chips import ChipPlanner, NegativePool
from mmsniper.mining import NegativeChipMiner


def resident():
    """Memory of this process, MiB."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def samples(rng, n_images, n_proposals):
    """Data samples as a test loop hands them over: 640 x 480, 8 objects, proposals of all sizes."""
    for i in range(n_images):
        yield dict(
            img_path=f'data/coco/train2017/{i:012d}.jpg',
            ori_shape=(480, 640),
            gt_instances=dict(bboxes=torch.from_numpy(random_boxes(rng, 8, 640, 480))),
            pred_instances=dict(
                bboxes=torch.from_numpy(random_boxes(rng, n_proposals, 640, 480)).float(),
                scores=torch.rand(n_proposals),
            ),
        )


def main():
    """Read the arguments, run both."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=10000, help='images to mine')
    parser.add_argument('--proposals', type=int, default=900, help='proposals per image')
    parser.add_argument('--stored', type=int, default=118000, help='images in the stored file')
    args = parser.parse_args()
    MMLogger.get_instance('benchmark')
    rng, planner = np.random.default_rng(0), ChipPlanner(SCALES, RANGES, CHIP, STRIDE)

    with tempfile.TemporaryDirectory() as folder:
        out_file = Path(folder) / 'negatives.npz'
        miner = NegativeChipMiner(planner, [26, 11, 11], str(out_file))
        print(f'{"images":>8} {"MiB resident":>13} {"us per image":>13}')
        spent = 0.0
        for n, sample in enumerate(samples(rng, args.images, args.proposals), 1):
            start = time.perf_counter()
            miner.process(None, [sample])
            spent += time.perf_counter() - start
            if n in (100, 1000) or n % max(args.images // 5, 1) == 0:
                print(f'{n:8d} {resident():13.1f} {spent / n * 1e6:13.0f}')
        start = time.perf_counter()
        figures = miner.evaluate(args.images)
        print(f'{time.perf_counter() - start:.1f} s to write {out_file.stat().st_size / 2**20:.2f} MiB; {figures}')

        # Random origins compress worst.
        n_chips, size = 10, (640, 480)
        sides = planner.windows(size)[1]
        images = []
        for i in range(args.stored):
            scale_idx = rng.integers(2, size=n_chips)
            extent = np.minimum(sides[scale_idx, None], size)
            origin = rng.integers(np.array(size) - extent + 1)
            images.append((f'data/coco/train2017/{i:012d}.jpg', size, np.hstack([origin, origin + extent]), scale_idx))
        pool = NegativePool.build(planner, [26, 11, 11], images)
        start = time.perf_counter()
        pool.save(out_file)
        wrote = time.perf_counter() - start
        start = time.perf_counter()
        NegativePool.load(out_file)
        read = time.perf_counter() - start
        print(
            f'{args.stored} images with {n_chips} chips each: {out_file.stat().st_size / 2**20:.1f} MiB, '
            f'{wrote:.1f} s to write, {read:.1f} s to read'
        )


if __name__ == '__main__':
    main()
