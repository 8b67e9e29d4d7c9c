"""Draw what a config trains on: each image with its chips, and each chip as the network sees it.

    python tools/browse_chips.py CONFIG [--recipe DIR | --proposals FILE] [--out-dir DIR] [--images 8] [--max-chips 24]
        [--epoch 0] [--cfg-options ...]

Writes per image NAME.png, one panel per scale with that scale's chips, and NAME_chips.png, the network's inputs: at
most --max-chips of them, spread over all; the title says how many there are.
Boxes: green = valid (teaches every head), orange = invalid (wrong size for the scale, or cut), grey = ignored region.
Chips: bright windows, framed in the scale's colour: solid = positive, dashed = negative, dotted = random.
A legend says so under each picture, and every title names the scale as the config does, with the zoom that it means.

--recipe is the work directory of mmsniper recipe: its negative chips are drawn, and its RPN shows what made them.
Pink boxes are the proposals that count towards a negative chip at that scale: of its sizes, and not covered by mining's
positive chips (planned without randomness, so not always those that are drawn). Bright pink: in a drawn negative chip.
--proposals draws those that mmdet's DumpProposals has written instead; see tools/mine_negative_chips.py.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from chip_config import add_plan_arguments, planned
from proposals import DumpedProposals, miner_setting, recipe_rpn
from torch.utils.data import Dataset
from tqdm import tqdm

from mmsniper.chips import ChipKey
from mmsniper.datasets import ChipDataset
from mmsniper.image_files import UnreadableImageError, spread
from mmsniper.visualization import (
    chip_legend,
    chip_title,
    draw_chip,
    draw_image,
    grid,
    scale_colour,
    titled,
    with_legend,
)


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_plan_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--recipe', type=Path, help='work directory of mmsniper recipe')
    source.add_argument('--proposals', type=Path, help='what DumpProposals wrote; a pickle, so read only your own')
    parser.add_argument('--out-dir', type=Path, help='where the PNGs go; default work_dirs/chips/<config name>')
    parser.add_argument('--images', type=int, default=8, help='how many images, spread over the data set')
    parser.add_argument('--max-chips', type=int, default=24, help='network inputs per picture, spread over all')
    args = parser.parse_args()

    cfg, samples, dataset, plan = planned(args)
    dumped = DumpedProposals(args.proposals, miner_setting(cfg, 'max_proposals')) if args.proposals else None
    propose = recipe_rpn(args.recipe) if args.recipe else dumped
    out_dir = args.out_dir or Path('work_dirs/chips') / Path(args.config).stem
    out_dir.mkdir(parents=True, exist_ok=True)
    chosen = spread(len(dataset.table), args.images)
    written = 0
    for idx in tqdm(chosen, desc='drawing chips', unit='image'):
        info = dataset.dataset.get_data_info(int(idx))
        keys = [plan.key(n) for n in np.flatnonzero(plan.image_idx == idx)]
        name = f'{idx:05d}_{Path(info["img_path"]).stem}'
        try:
            proposals = propose(info) if propose else None
            pictures = {f'{name}.png': draw_image(dataset.planner, info, keys, proposals)}
            if keys:
                shown = [keys[n] for n in spread(len(keys), args.max_chips)]
                few = f'{len(shown)} of {len(keys)} chips; --max-chips shows more' if len(shown) < len(keys) else ''
                pictures[f'{name}_chips.png'] = draw_chips(samples, dataset, shown, few)
        except (RuntimeError, UnreadableImageError) as error:  # names the image
            raise SystemExit(f'error: {error}') from error
        except ValueError as error:
            raise SystemExit(f'error: {info["img_path"]}: {error}') from error
        for file_name, picture in pictures.items():
            cv2.imwrite(str(out_dir / file_name), picture)
        written += len(pictures)
    print(f'{written} pictures in {out_dir}')
    if dumped:
        dumped.check_found(len(chosen))
    if dumped and dumped.missing:
        n, names = len(dumped.missing), ', '.join(dumped.missing)
        print(f'warning: {args.proposals} has no proposals for {n} of these {len(chosen)} images: {names}')


def draw_chips(samples: Dataset, dataset: ChipDataset, keys: list[ChipKey], title: str) -> np.ndarray:
    """The network's inputs in a grid, with their labels and a legend; those larger than a panel are reduced.

    Args:
        samples: Cuts the chips.
        dataset: Planned them.
        keys: Which chips.
        title: Of the whole, '' for none.
    """
    tiles = []
    for key in keys:
        packed = samples[key]
        chip = draw_chip(packed['inputs'], packed['data_samples'], dataset.classes)
        title_of_chip = chip_title(packed['data_samples'], dataset.planner.scales, key.kind)
        tiles.append(titled(chip, title_of_chip, scale_colour(key.scale_idx)))
    picture = with_legend(grid(tiles), chip_legend())
    return titled(picture, title, (225, 225, 225)) if title else picture


if __name__ == '__main__':
    main()
