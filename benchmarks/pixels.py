"""Network pixels per image and epoch of each training recipe, by counting plans: what multi-scale training costs.

python benchmarks/pixels.py ANNOTATIONS.json [--epochs 3]

ANNOTATIONS.json is any COCO-format file; its images are not read. All samples count with their padding: chips to the
chip size, images to a multiple of 32 as mmdet pads them (not to the largest of a batch). Proposals for negative chips
are made up, 300 per scale all over every image, so that nearly all have two chips to draw: the most they can cost.
"""

import argparse
from pathlib import Path

import numpy as np
from looks import silent
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from pycocotools.coco import COCO

from mmsniper.chips import ChipPlan, Chips, ChipTable, chip_pixels, resized_pixels
from mmsniper.datasets import ChipDataset

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
RECIPES = {
    'single scale, 800 x 1333': 'multi_scale/single-scale_faster-rcnn_r50_fpn_coco.py',
    'plain multi-scale, 640 to 800 x 1333': 'multi_scale/ms_faster-rcnn_r50_fpn_coco.py',
    'SNIP': 'snip/snip_faster-rcnn_r50_fpn_coco.py',
    'SNIPER, two scales': 'sniper/sniper_faster-rcnn_r50_fpn_2scale_coco.py',
    'SNIPER, two scales, negative chips': 'sniper/sniper_faster-rcnn_r50_fpn_2scale_neg_coco.py',
    'SNIPER': 'sniper/sniper_faster-rcnn_r50_fpn_coco.py',
    'SNIPER, negative chips': 'sniper/sniper_faster-rcnn_r50_fpn_neg_coco.py',
}


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='a COCO-format file')
    parser.add_argument('--epochs', type=int, default=3, help='epochs to count')
    args = parser.parse_args()
    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')
    data = coco_data(args.annotations)
    counted = {name: count(Config.fromfile(CONFIGS / file), data, args.epochs) for name, file in RECIPES.items()}
    _, single = next(iter(counted.values()))
    print('| recipe | samples per image | million pixels per image | of single scale |')
    print('|---|---|---|---|')
    for name, (samples, pixels) in counted.items():
        print(f'| {name} | {samples:.2f} | {pixels / 1e6:.3f} | {pixels / single:.2f} |')


def coco_data(path: Path) -> dict:
    """Settings of a data set that reads a COCO file, all of its categories and images."""
    with silent():
        names = tuple(category['name'] for category in COCO(str(path)).dataset['categories'])
    return dict(type='CocoDataset', ann_file=str(path), metainfo=dict(classes=names), data_prefix=dict(img=''))


def count(cfg: Config, data: dict, epochs: int) -> tuple[float, float]:
    """Samples and network pixels per image and epoch of a training config."""
    loader = cfg.train_dataloader.dataset
    if loader.type != 'mmsniper.ChipDataset':
        dataset = DATASETS.build(data)
        infos = map(dataset.get_data_info, range(len(dataset)))
        sizes = np.array([(info['width'], info['height']) for info in infos])
        return 1.0, resized_pixels(sizes, resize_scales(cfg), cfg.model.data_preprocessor.pad_size_divisor)
    negatives = loader.get('negatives')
    dataset = ChipDataset(data, loader.planner, empty_chips=loader.empty_chips)
    pools = None
    if negatives:
        least = Config.fromfile(Path(cfg.filename).parent / cfg.rpn_config).test_evaluator.min_proposals
        pools = ChipTable.build([made_up_pool(dataset, i, least) for i in range(len(dataset.table))])
    samples, pixels = [], []
    for epoch in range(epochs):
        per_image = negatives.per_image if negatives else 0
        plan = ChipPlan.draw(dataset.planner, dataset.table, 0, epoch, dataset.empty_chips, pools, per_image)
        samples.append(len(plan))
        pixels.append(chip_pixels(dataset.planner, plan.chips, cfg.model.data_preprocessor.pad_size_divisor))
    return np.mean(samples) / len(dataset.table), np.mean(pixels) / len(dataset.table)


def resize_scales(cfg: Config) -> list[tuple[int, int]]:
    """What a pipeline resizes images to, one of these at random."""
    step = next(step for step in cfg.train_pipeline if 'Resize' in step.type)
    return [tuple(scale) for scale in (step.scales if step.type == 'RandomChoiceResize' else [step.scale])]


def made_up_pool(dataset: ChipDataset, idx: int, min_proposals: list[int]) -> Chips:
    """Negative chips of an image for proposals all over it, 300 of each scale's sizes."""
    rng = np.random.default_rng(idx)
    bboxes, size = dataset.table.image(idx)
    proposals = []
    for low, high in dataset.planner.valid_ranges:
        low, high = max(low, 8), min(high, max(size))
        if low >= high:  # no object of these sizes fits the image
            continue
        side = np.exp(rng.uniform(np.log(low), np.log(high), 300))
        ratio = np.exp(rng.uniform(-0.7, 0.7, 300)) ** 0.5
        extent = np.minimum(np.stack([side * ratio, side / ratio], 1), size)
        corner = rng.uniform(0, 1, (300, 2)) * (np.array(size) - extent)
        proposals.append(np.hstack([corner, corner + extent]))
    planner = dataset.planner
    return planner.negative(
        np.concatenate([np.zeros((0, 4)), *proposals]), size, planner.positive(bboxes, size, rng), min_proposals, rng
    )


if __name__ == '__main__':
    main()
