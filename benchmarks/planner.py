"""Time and check ChipPlanner against a plain windows-by-boxes greedy cover, side by side in one run.

    python benchmarks/planner.py [ANNOTATIONS.json] [--baseline FILE.py]

ANNOTATIONS.json is any COCO file (only boxes and image sizes are read). The baseline built in here tests every window
of the stride grid against every box; FILE.py may bring another one as plan(boxes, width, height) -> chips per scale.
"""

import argparse
import importlib.util
import json
import time
from pathlib import Path

import numpy as np

from mmsniper.chips import ChipPlanner, box_sizes, clip_boxes, scale_factor

SCALES = [3.0, 1.667, (512, 512)]
RANGES = [(None, 80), (32, 150), (120, None)]
CHIP, STRIDE = 512, 32


def plain_plan(boxes, width, height):
    """Chips per scale, lists of (N, 4) arrays, by trying every window on every box and taking the fullest."""
    chips = []
    for scale, (low, high) in zip(SCALES, RANGES, strict=True):
        factor = scale_factor(scale, width, height)
        sizes, scaled = box_sizes(boxes), boxes * factor
        fits = (scaled[:, 2:] - scaled[:, :2]).max(1, initial=0) <= CHIP
        todo = scaled[(sizes >= (low or 0)) & (sizes < (high or np.inf)) & fits]
        axes = []
        for length in (width * factor, height * factor):
            last = max(length - CHIP, 0)
            axes.append(np.append(np.arange(0, last, STRIDE), last))
        x, y = (grid.ravel() for grid in np.meshgrid(*axes))
        windows = np.stack([x, y, x + CHIP, y + CHIP], 1)
        encloses = (windows[:, None, :2] <= todo[None, :, :2] + 1e-3).all(2)
        encloses &= (windows[:, None, 2:] >= todo[None, :, 2:] - 1e-3).all(2)
        found = []
        while encloses.any():
            best = encloses.sum(1).argmax()
            found.append(windows[best] / factor)
            encloses &= ~encloses[best]
        chips.append(np.array(found).reshape(-1, 4))
    return chips


def read_coco(path):
    """(boxes (M, 4) xyxy, width, height) per image with a usable box: no crowd, sides of 2 px and more."""
    content, boxes = json.loads(Path(path).read_text()), {}
    for annotation in content['annotations']:
        x, y, w, h = annotation['bbox']
        if not annotation.get('iscrowd') and min(w, h) >= 2:
            boxes.setdefault(annotation['image_id'], []).append((x, y, x + w, y + h))
    return [(np.array(boxes[i['id']]), i['width'], i['height']) for i in content['images'] if i['id'] in boxes]


def random_boxes(rng, n, width, height, low=8, high=300):
    """(n, 4) boxes, sizes log-uniform, sides up to 1.6 : 1, inside the image."""
    size, aspect = np.exp(rng.uniform(np.log(low), np.log(high), n)), np.exp(rng.uniform(-0.24, 0.24, n))
    sides = np.minimum(np.stack([size * aspect, size / aspect], 1), [width, height])
    corner = rng.uniform(0, 1, (n, 2)) * ([width, height] - sides)
    return np.concatenate([corner, corner + sides], 1)


def seconds(function, items, repeat):
    """Best of `repeat` passes over all items: seconds per item, and the last results."""
    best = np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        results = [function(*item) for item in items]
        best = min(best, (time.perf_counter() - start) / len(items))
    return best, results


def lost_objects(planner, items, plans):
    """How many usable boxes lie whole in no chip of a scale they are valid at."""
    lost = 0
    for (boxes, width, height), chips in zip(items, plans, strict=True):
        inside = clip_boxes(boxes, (0, 0, width, height))
        whole = (chips.bboxes[:, None, :2] <= inside[None, :, :2]).all(2)
        whole &= (chips.bboxes[:, None, 2:] >= inside[None, :, 2:]).all(2)
        whole &= planner.valid(boxes, (width, height))[chips.scale_idx]
        lost += int((~whole.any(0)).sum())
    return lost


def compare(name, items, baseline, planner):
    """One row: chips per image and scale, objects lost, and time, of both."""
    plain_time, plain = seconds(baseline, items, 2)
    our_time, ours = seconds(lambda boxes, width, height: planner.positive(boxes, (width, height)), items, 9)
    plain_chips = np.mean([[len(chips) for chips in plan] for plan in plain], 0)
    our_chips = np.mean([np.bincount(chips.scale_idx, minlength=len(SCALES)) for chips in ours], 0)
    print(f'\n{name}: {len(items)} images, {np.mean([len(boxes) for boxes, *_ in items]):.1f} objects each')
    print(
        f'  chips per image and scale   plain {plain_chips.round(3)}   ours {our_chips.round(3)}   '
        f'difference {(our_chips / np.maximum(plain_chips, 1e-9) - 1).round(4) * 100} %'
    )
    print(f'  objects lost by ours        {lost_objects(planner, items, ours)}')
    print(
        f'  time per image              plain {plain_time * 1e6:.0f} us   ours {our_time * 1e6:.1f} us   '
        f'{plain_time / our_time:.0f} times faster'
    )


def proposals_beside_objects(planner, rng):
    """Negative chips of many proposals, beside positive chips of few objects and of as many."""
    size, least = (640, 480), [26, 11, 11]
    print('\nproposals on 640 x 480')
    for n in (300, 900):
        items = []
        for _ in range(100):
            positives = planner.positive(random_boxes(rng, 8, *size), size)
            items.append((random_boxes(rng, n, *size), size, positives, least))
        negative_time, chips = seconds(planner.negative, items, 5)
        positive_time, _ = seconds(planner.positive, [item[:2] for item in items], 5)
        print(
            f'  {n:5d} proposals  negative {negative_time * 1e6:7.0f} us, {np.mean([len(c) for c in chips]):.1f} chips '
            f'per image   positive, as many objects {positive_time * 1e6:7.0f} us'
        )


def main():
    """Read the arguments, run everything."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('annotations', nargs='?', help='a COCO annotation file')
    parser.add_argument('--baseline', help='a Python file with plan(boxes, width, height)')
    args = parser.parse_args()
    baseline = plain_plan
    if args.baseline:
        spec = importlib.util.spec_from_file_location('baseline', args.baseline)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        baseline = module.plan
    planner, rng = ChipPlanner(SCALES, RANGES, CHIP, STRIDE), np.random.default_rng(0)
    planner.positive(random_boxes(rng, 3, 640, 480), (640, 480))  # compile

    if args.annotations:
        compare(args.annotations, read_coco(args.annotations), baseline, planner)
    items = [(random_boxes(rng, 8, 640, 480), 640, 480) for _ in range(100)]
    compare('random 640 x 480', items, baseline, planner)
    items = [(random_boxes(rng, 100, 1920, 1080), 1920, 1080) for _ in range(5)]
    compare('random 1920 x 1080', items, baseline, planner)

    proposals_beside_objects(planner, rng)

    print('\nrandom 8000 x 8000, ours alone')
    for n in (250, 500, 1000, 2000, 4000):
        took, plans = seconds(planner.positive, [(random_boxes(rng, n, 8000, 8000), (8000, 8000)) for _ in range(3)], 3)
        print(f'  {n:5d} objects  {took * 1e3:7.2f} ms  {took / n * 1e6:6.1f} us per object  {len(plans[0])} chips')


if __name__ == '__main__':
    main()
