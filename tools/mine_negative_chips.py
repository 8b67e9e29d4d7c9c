"""Mine negative chips from proposals that mmdet's DumpProposals has written, for the ChipDataset of a config.

    python tools/mine_negative_chips.py CONFIG PROPOSALS.pkl --out FILE.npz [--min-proposals 26 11 11]
        [--max-proposals 900] [--cfg-options ...]

PROPOSALS.pkl: '<parent folder>/<file name>' -> proposals of that training image, image frame: InstanceData or a dict
with bboxes (P, 4) and scores (P,), or an array (P, 4) or, with scores, (P, 5). Without --min-proposals the settings of
the config's NegativeChipMiner count. Train with it: ChipDataset(negatives=dict(ann_file='FILE.npz', per_image=2)).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import mmdet
import mmengine
import numpy as np
from chip_config import build_chip_dataset
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from proposals import DumpedProposals, miner_setting
from tqdm import tqdm

from mmsniper import __version__
from mmsniper.chips import NegativePool
from mmsniper.datasets import ChipDataset

BINS = (0, 1, 2, 3, 5, 9, 17, 33)


def main() -> None:
    """Read the arguments, mine, write, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='a training config with a ChipDataset')
    parser.add_argument('proposals', type=Path, help='what DumpProposals wrote; a pickle, so read only your own')
    parser.add_argument('--out', type=Path, required=True, help='where the negative chips go, .npz')
    parser.add_argument('--min-proposals', type=int, nargs='+', help='least proposals in a chip: one, or one per scale')
    parser.add_argument('--max-proposals', type=int, help='best proposals of an image that are looked at; default: all')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    min_proposals = args.min_proposals or miner_setting(cfg, 'min_proposals')
    if min_proposals is None:
        parser.error(
            f'{args.config} has no NegativeChipMiner with min_proposals: say --min-proposals, such as 26 11 11'
        )
    if isinstance(min_proposals, list) and len(min_proposals) == 1:
        min_proposals = min_proposals[0]
    max_proposals = args.max_proposals or miner_setting(cfg, 'max_proposals')
    proposals = DumpedProposals(args.proposals, max_proposals)
    # Negative chips that the config names may be the very file that is to be written.
    dataset = build_chip_dataset(cfg, negatives=None)

    images = tqdm(mine(dataset, proposals, min_proposals), 'mining', len(dataset.table))
    versions = dict(mmsniper=__version__, mmdet=mmdet.__version__, mmengine=mmengine.__version__)
    about = dict(classes=list(dataset.classes))
    try:
        pool = NegativePool.build(dataset.planner, min_proposals, images, about, versions)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from error
    proposals.check_found(len(dataset.table))
    pool.save(args.out)
    report(pool, proposals.missing, len(proposals.entries))
    print(f'{args.out}: {args.out.stat().st_size / 1000:.1f} kB')


def mine(
    dataset: ChipDataset, proposals: DumpedProposals, min_proposals: int | list[int]
) -> Iterator[tuple[str, tuple[int, int], np.ndarray, np.ndarray]]:
    """Per image of the data set what NegativePool.build wants; images without proposals are left out.

    Raises:
        ValueError: If an image's proposals are malformed; names the image.
    """
    for idx in range(len(dataset.table)):
        info = dataset.dataset.get_data_info(idx)
        boxes, size = dataset.table.image(idx)
        try:
            best = proposals(info)
            if best is None:
                continue
            positives = dataset.planner.positive(boxes, size)
            chips = dataset.planner.negative(best, size, positives, min_proposals)
        except ValueError as error:
            raise ValueError(f'{info["img_path"]}: {error}') from error
        yield info['img_path'], size, chips.bboxes.astype(np.uint32), chips.scale_idx.astype(np.uint8)


def report(pool: NegativePool, missing: list[str], n_entries: int) -> None:
    """Print chips per image and scale, images with none, a histogram, and what was left out."""
    counts = pool.counts()
    print(f'\n{"scale":>16} {"at least":>9} {"chips":>9} {"per image":>10} {"images with none":>17}')
    columns = [*zip(map(str, pool.planner.scales), map(str, pool.min_proposals), counts.T, strict=True)]
    for name, least, column in [*columns, ('all', '', counts.sum(axis=1))]:
        print(f'{name:>16} {least:>9} {column.sum():9d} {column.mean():10.2f} {(column == 0).sum():17d}')
    per_image = counts.sum(axis=1)
    print(f'\nchips per image, {len(pool)} images')
    in_bin = np.histogram(per_image, bins=[*BINS, max(BINS[-1] + 1, per_image.max() + 1)])[0]
    for low, stop, n in zip(BINS, [*BINS[1:], None], in_bin, strict=True):
        name = f'{low}+' if stop is None else f'{low}' if stop == low + 1 else f'{low}-{stop - 1}'
        print(f'{name:>7} {n:8d}  {"#" * round(40 * n / in_bin.max())}')
    print()
    if missing:
        some = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
        print(f'warning: {len(missing)} images of the data set have no proposals and get no negative chips: {some}')
    if n_entries > len(pool):
        print(f'{n_entries - len(pool)} images with proposals are not in the data set; left out')
    if not counts.any():
        print(
            'warning: no image has a negative chip: are the boxes in pixels of the original images? Is --min-proposals '
            'too high?'
        )


if __name__ == '__main__':
    main()
