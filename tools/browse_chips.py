"""Draw what a config trains on: each image with its chips, and each chip as the network sees it.

    python tools/browse_chips.py CONFIG [--recipe DIR | --proposals FILE] [--out-dir DIR] [--images 8] [--max-chips 24]
        [--epoch 0] [--cfg-options ...]

Writes per image NAME.png, one panel per scale with that scale's chips, and NAME_chips.png, the network's inputs: at
most --max-chips of them, spread over all; the title says how many there are.
Boxes: green = valid (teaches every head), orange = invalid (wrong size for the scale, or cut), grey = ignored region.
Chips: bright windows, framed in the scale's colour: solid = positive, dashed = negative, dotted = random.

--recipe is the work directory of tools/train_sniper.py: its negative chips are drawn, and its RPN shows what made them.
Pink boxes are the proposals that count towards a negative chip at that scale: of its sizes, and not covered by mining's
positive chips (planned without randomness, so not always those that are drawn). Bright pink: in a drawn negative chip.
--proposals draws those that mmdet's DumpProposals has written instead; see tools/mine_negative_chips.py.
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
from proposals import DumpedProposals, miner_setting, recipe_rpn
from torch.utils.data import Dataset
from tqdm import tqdm

from mmsniper.chips import ChipKey, ChipKind, clip_boxes
from mmsniper.chips.geometry import as_boxes
from mmsniper.datasets import ChipDataset
from mmsniper.datasets.annotations import image_boxes
from mmsniper.large_images import LARGE, LargeImage
from mmsniper.registry import DATASETS

SCALE_COLOURS = [(60, 60, 230), (230, 150, 40), (200, 60, 200), (40, 190, 230), (120, 220, 60)]  # BGR
VALID, INVALID, IGNORED = (70, 200, 70), (0, 140, 255), (150, 150, 150)
PROPOSAL = (220, 120, 255)
DASH = {ChipKind.POSITIVE: 0, ChipKind.NEGATIVE: 12, ChipKind.RANDOM: 3}
PANEL, MARGIN = 640, 24


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='a training config with a ChipDataset')
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--recipe', type=Path, help='work directory of tools/train_sniper.py')
    source.add_argument('--proposals', type=Path, help='what DumpProposals wrote; a pickle, so read only your own')
    parser.add_argument('--out-dir', type=Path, help='where the PNGs go; default work_dirs/chips/<config name>')
    parser.add_argument('--images', type=int, default=8, help='how many images, spread over the data set')
    parser.add_argument('--max-chips', type=int, default=24, help='network inputs per picture, spread over all')
    parser.add_argument('--epoch', type=int, default=0, help='epoch of the plan')
    parser.add_argument('--seed', type=int, help="seed of the plan; default: the config's randomness.seed, or 0")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    use_negatives(cfg, args.recipe)
    samples = DATASETS.build(cfg.train_dataloader.dataset)  # which may mix chips
    dataset = samples
    while not isinstance(dataset, ChipDataset):
        dataset = dataset.dataset
    dumped = DumpedProposals(args.proposals, miner_setting(cfg, 'max_proposals')) if args.proposals else None
    propose = recipe_rpn(args.recipe) if args.recipe else dumped
    seed = args.seed if args.seed is not None else (cfg.get('randomness') or {}).get('seed') or 0
    plan = dataset.plan(args.epoch, seed)
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
            pictures = {f'{name}.png': draw_image(dataset, info, keys, proposals)}
        except ValueError as error:
            raise SystemExit(f'error: {info["img_path"]}: {error}') from error
        if keys:
            shown = [keys[n] for n in spread(len(keys), args.max_chips)]
            picture = draw_chips(samples, shown)
            if len(shown) < len(keys):
                picture = titled(picture, f'{len(shown)} of {len(keys)} chips; --max-chips shows more', VALID)
            pictures[f'{name}_chips.png'] = picture
        for file_name, picture in pictures.items():
            cv2.imwrite(str(out_dir / file_name), picture)
        written += len(pictures)
    print(f'{written} pictures in {out_dir}')
    if dumped:
        dumped.check_found(len(chosen))
    if dumped and dumped.missing:
        n, names = len(dumped.missing), ', '.join(dumped.missing)
        print(f'warning: {args.proposals} has no proposals for {n} of these {len(chosen)} images: {names}')


def spread(n: int, most: int) -> np.ndarray:
    """Up to `most` of n numbers from 0, at equal distances."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(int))


def use_negatives(cfg: Config, recipe: Path | None) -> None:
    """Let a config's ChipDataset read the negative chips of a recipe, or make sure that it has its own.

    Raises:
        SystemExit: If there are none where they ought to be.
    """
    negatives = chip_dataset_cfg(cfg).get('negatives')
    if recipe:
        if not negatives:
            raise SystemExit(f'{cfg.filename} has no negative chips: give --recipe with the config that the recipe had')
        for name in ('negative_chips.npz', 'mine_config.py', 'rpn/last_checkpoint'):
            if not (recipe / name).is_file():
                raise SystemExit(
                    f'{recipe / name} does not exist: --recipe is the work directory of tools/train_sniper.py, when it '
                    'has mined negative chips'
                )
        negatives.ann_file = str(recipe / 'negative_chips.npz')
    elif negatives and not Path(str(negatives.get('ann_file'))).is_file():
        raise SystemExit(
            f'{cfg.filename}: its file of negative chips, {negatives.get("ann_file")}, does not exist: run '
            'tools/train_sniper.py and give its work directory as --recipe, or set negatives=None'
        )


def build_chip_dataset(cfg: Config, **changes: object) -> ChipDataset:
    """Build the ChipDataset of a config's training loader.

    Args:
        cfg: A training config.
        **changes: Replace arguments of the ChipDataset.

    Raises:
        SystemExit: If there is none.
    """
    return DATASETS.build({**chip_dataset_cfg(cfg), **changes})


def draw_image(dataset: ChipDataset, info: dict, keys: list[ChipKey], proposals: np.ndarray | None) -> np.ndarray:
    """The image once per scale, side by side, with the scale's chips and every box as that scale sees it.

    Args:
        dataset: Has the planner.
        info: Of the image, as the wrapped data set gives it.
        keys: The image's chips.
        proposals: (P, 4) xyxy, image frame; None = draw none.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: If a proposal is malformed.
    """
    boxes, crowd, size = image_boxes(info)
    zoom = PANEL / max(size)
    extent = max(round(size[0] * zoom), 1), max(round(size[1] * zoom), 1)
    if size[0] * size[1] > LARGE:
        image = LargeImage(info['img_path']).read((0, 0, *size), extent)
    else:
        image = mmcv.imread(info['img_path'])
    planner = dataset.planner
    valid = planner.valid(boxes, size)
    proposals = clip_boxes(as_boxes([] if proposals is None else proposals), (0, 0, *size))
    # Mining plans positive chips without rng; those of this epoch cover other places.
    counts = planner.uncovered(proposals, size, planner.positive(boxes[~crowd], size))
    panels = []
    for s, scale in enumerate(planner.scales):
        panel = cv2.resize(image, extent, interpolation=cv2.INTER_AREA)
        chips = [key for key in keys if key.scale_idx == s]
        unseen = np.ones(panel.shape[:2], bool)
        for key in chips:
            x1, y1, x2, y2 = np.rint(np.array(key.bbox) * zoom).astype(int)
            unseen[y1:y2, x1:x2] = False
        panel[unseen] //= 2
        held = np.zeros(len(proposals), bool)
        for key in chips:
            if key.kind == ChipKind.NEGATIVE:
                held |= (proposals[:, :2] >= key.bbox[:2]).all(1) & (proposals[:, 2:] <= key.bbox[2:]).all(1)
        faint = panel.copy()
        for box in proposals[counts[s] & ~held]:
            rectangle(faint, box * zoom, PROPOSAL, 1)
        panel = cv2.addWeighted(panel, 0.6, faint, 0.4, 0)
        for box in proposals[counts[s] & held]:
            rectangle(panel, box * zoom, PROPOSAL, 1)
        for box, is_valid, is_crowd in zip(boxes, valid[s], crowd, strict=True):
            rectangle(panel, box * zoom, IGNORED if is_crowd else VALID if is_valid else INVALID, 1)
        for n, key in enumerate(chips):
            # A pixel inwards per chip, so that chips that share a border are both seen.
            frame = np.array(key.bbox) * zoom + np.array([1, 1, -1, -1]) * (n % 4)
            rectangle(panel, frame, colour(s), 2, DASH[key.kind])
        low, high = planner.valid_ranges[s]
        name = f'{scale[0]:g} x {scale[1]:g}' if isinstance(scale, tuple) else f'{scale:g}'
        panels.append(titled(panel, f'scale {name}, objects {low:g}..{high:g} px: {count(chips)}', colour(s)))
    return np.hstack(panels)


def count(keys: list[ChipKey]) -> str:
    """How many chips there are of each kind, in words."""
    n = {kind: sum(key.kind == kind for key in keys) for kind in ChipKind}
    others = [f' + {n[kind]} {kind.name.lower()}' for kind in (ChipKind.NEGATIVE, ChipKind.RANDOM) if n[kind]]
    return f'{n[ChipKind.POSITIVE]}{"".join(others)} chips'


def draw_chips(samples: Dataset, keys: list) -> np.ndarray:
    """The network's inputs in a grid, with their labels; those larger than a panel are reduced."""
    tiles = []
    for key in keys:
        packed = samples[key]
        chip = np.ascontiguousarray(packed['inputs'].numpy().transpose(1, 2, 0))
        sample = packed['data_samples']
        for box in get_box_tensor(sample.ignored_instances.bboxes).numpy():
            rectangle(chip, box, IGNORED, 1)
        truth = sample.gt_instances
        boxes = get_box_tensor(truth.bboxes).numpy()
        for box, label, valid in zip(boxes, truth.labels.tolist(), truth.valid.tolist(), strict=True):
            rectangle(chip, box, VALID if valid else INVALID, 1)
            if valid:
                write(chip, samples.metainfo['classes'][label], (int(box[0]) + 2, int(box[1]) + 10), VALID)
        masks = truth.get('masks')
        if masks is not None and len(masks):
            for mask in masks.to_ndarray():
                edges, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(chip, edges, -1, (255, 255, 0), 1)
        kind = '' if key.kind == ChipKind.POSITIVE else f', {ChipKind(key.kind).name.lower()}'
        if isinstance(sample.valid_range, list):
            kind += f', {len(sample.valid_range)} mixed'
        if max(chip.shape) > PANEL:
            chip = mmcv.imrescale(chip, (PANEL, PANEL), interpolation='area')
        tiles.append(titled(chip, f'scale {key.scale_idx}, zoom {key.scale:.2f}{kind}', colour(key.scale_idx)))
    height, width = np.max([tile.shape[:2] for tile in tiles], axis=0)
    tiles = [mmcv.impad(tile, shape=(height, width), pad_val=30) for tile in tiles]
    columns = min(len(tiles), max(1, 3 * PANEL // width))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def colour(scale_idx: int) -> tuple[int, int, int]:
    """Colour of a scale, BGR."""
    return SCALE_COLOURS[scale_idx % len(SCALE_COLOURS)]


def rectangle(image: np.ndarray, box: np.ndarray, bgr: tuple, thickness: int, dash: int = 0) -> None:
    """Draw a half-open xyxy box, in place; with `dash`, in dashes of that many pixels."""
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    if not dash:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), bgr, thickness)
        return
    outline = np.zeros(image.shape[:2], np.uint8)
    cv2.rectangle(outline, (x1, y1), (x2 - 1, y2 - 1), 1, thickness)
    along = np.add.outer(*map(np.arange, outline.shape))  # grows by one per pixel along either kind of edge
    image[(outline == 1) & (along // dash % 2 == 0)] = bgr


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
