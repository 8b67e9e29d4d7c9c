"""Draw what a config trains on: each image with its chips, and each chip as the network sees it.

    python tools/browse_chips.py CONFIG [--out-dir DIR] [--images 8] [--epoch 0] [--cfg-options ...]

Writes per image NAME.png, one panel per scale with that scale's chips, and NAME_chips.png, the network's inputs.
Boxes: green = valid (teaches every head), orange = invalid (wrong size for the scale, or cut), grey = ignored region.
"""

import argparse
from pathlib import Path

import cv2
import mmcv
import numpy as np
from chip_config import chip_dataset_cfg
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from tqdm import tqdm

from mmsniper.datasets import ChipDataset
from mmsniper.registry import DATASETS

SCALE_COLOURS = [(60, 60, 230), (230, 150, 40), (200, 60, 200), (40, 190, 230), (120, 220, 60)]  # BGR
VALID, INVALID, IGNORED = (70, 200, 70), (0, 140, 255), (150, 150, 150)
PANEL, MARGIN = 640, 24


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='a training config with a ChipDataset')
    parser.add_argument('--out-dir', type=Path, default=Path('work_dirs/chips'), help='where the PNGs go')
    parser.add_argument('--images', type=int, default=8, help='how many images, spread over the data set')
    parser.add_argument('--epoch', type=int, default=0, help='epoch of the plan')
    parser.add_argument('--seed', type=int, help="seed of the plan; default: the config's randomness.seed, or 0")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = build_chip_dataset(cfg)
    seed = args.seed if args.seed is not None else (cfg.get('randomness') or {}).get('seed') or 0
    plan = dataset.plan(args.epoch, seed)
    args.out_dir.mkdir(parents=True, exist_ok=True)
    chosen = np.unique(np.linspace(0, len(dataset.table) - 1, min(args.images, len(dataset.table))).astype(int))
    for idx in tqdm(chosen, desc='drawing chips', unit='image'):
        info = dataset.dataset.get_data_info(int(idx))
        keys = [plan.key(n) for n in np.flatnonzero(plan.image_idx == idx)]
        name = f'{idx:05d}_{Path(info["img_path"]).stem}'
        cv2.imwrite(str(args.out_dir / f'{name}.png'), draw_image(dataset, info, keys))
        if keys:
            cv2.imwrite(str(args.out_dir / f'{name}_chips.png'), draw_chips(dataset, keys))
    print(f'{2 * len(chosen)} pictures in {args.out_dir}')


def build_chip_dataset(cfg: Config, **changes: object) -> ChipDataset:
    """Build the ChipDataset of a config's training loader.

    Args:
        cfg: A training config.
        **changes: Replace arguments of the ChipDataset.

    Raises:
        SystemExit: If there is none.
    """
    return DATASETS.build({**chip_dataset_cfg(cfg), **changes})


def draw_image(dataset: ChipDataset, info: dict, keys: list) -> np.ndarray:
    """The image once per scale, side by side, with the scale's chips and every box as that scale sees it."""
    image = mmcv.imread(info['img_path'])
    height, width = image.shape[:2]
    boxes = np.array([instance['bbox'] for instance in info['instances']], float).reshape(-1, 4)
    crowd = np.array([bool(instance['ignore_flag']) for instance in info['instances']], bool)
    valid = dataset.planner.valid(boxes, (width, height))
    zoom = PANEL / max(width, height)
    panels = []
    for s, scale in enumerate(dataset.planner.scales):
        panel = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        chips = [key for key in keys if key.scale_idx == s]
        unseen = np.ones(panel.shape[:2], bool)
        for key in chips:
            x1, y1, x2, y2 = np.rint(np.array(key.bbox) * zoom).astype(int)
            unseen[y1:y2, x1:x2] = False
        panel[unseen] //= 2
        for box, is_valid, is_crowd in zip(boxes, valid[s], crowd, strict=True):
            rectangle(panel, box * zoom, IGNORED if is_crowd else VALID if is_valid else INVALID, 1)
        for n, key in enumerate(chips):
            # A pixel inwards per chip, so that chips that share a border are both seen.
            rectangle(panel, np.array(key.bbox) * zoom + [n % 4, n % 4, -n % 4 - 4, -n % 4 - 4], colour(s), 2)
        low, high = dataset.planner.valid_ranges[s]
        name = f'{scale[0]:g} x {scale[1]:g}' if isinstance(scale, tuple) else f'{scale:g}'
        panels.append(titled(panel, f'scale {name}, objects {low:g}..{high:g} px: {len(chips)} chips', colour(s)))
    return np.hstack(panels)


def draw_chips(dataset: ChipDataset, keys: list) -> np.ndarray:
    """The network's inputs in a grid, with their labels."""
    tiles = []
    for key in keys:
        packed = dataset[key]
        chip = np.ascontiguousarray(packed['inputs'].numpy().transpose(1, 2, 0))
        sample = packed['data_samples']
        for box in get_box_tensor(sample.ignored_instances.bboxes).numpy():
            rectangle(chip, box, IGNORED, 1)
        truth = sample.gt_instances
        boxes = get_box_tensor(truth.bboxes).numpy()
        for box, label, valid in zip(boxes, truth.labels.tolist(), truth.valid.tolist(), strict=True):
            rectangle(chip, box, VALID if valid else INVALID, 1)
            if valid:
                write(chip, dataset.metainfo['classes'][label], (int(box[0]) + 2, int(box[1]) + 10), VALID)
        masks = truth.get('masks')
        if masks is not None and len(masks):
            for mask in masks.to_ndarray():
                edges, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(chip, edges, -1, (255, 255, 0), 1)
        tiles.append(titled(chip, f'scale {key.scale_idx}, zoom {key.scale:.2f}', colour(key.scale_idx)))
    columns = min(len(tiles), max(1, 3 * PANEL // tiles[0].shape[1]))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def colour(scale_idx: int) -> tuple[int, int, int]:
    """Colour of a scale, BGR."""
    return SCALE_COLOURS[scale_idx % len(SCALE_COLOURS)]


def rectangle(image: np.ndarray, box: np.ndarray, bgr: tuple, thickness: int) -> None:
    """Draw a half-open xyxy box, in place."""
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), bgr, thickness)


def write(image: np.ndarray, text: str, at: tuple[int, int], bgr: tuple) -> None:
    """Small text on a dark ground, in place; readable on any picture."""
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    cv2.rectangle(image, (at[0] - 1, at[1] - height - 1), (at[0] + width, at[1] + base - 1), (30, 30, 30), -1)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, bgr, 1, cv2.LINE_AA)


def titled(image: np.ndarray, title: str, bgr: tuple) -> np.ndarray:
    """The image with a title above it and a gap to its right and below."""
    framed = cv2.copyMakeBorder(image, MARGIN, 4, 0, 4, cv2.BORDER_CONSTANT, value=(30, 30, 30))
    write(framed, title, (4, MARGIN - 8), bgr)
    return framed


if __name__ == '__main__':
    main()
