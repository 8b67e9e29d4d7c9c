"""Write the chips that a config trains on as an ordinary COCO data set, to train something else with.

    python tools/export_chips.py CONFIG --out DIR [--epoch 0] [--epochs 1] [--workers 4] [--format jpg] [--quality 95]
        [--invalid keep|ignore|drop] [--unpadded] [--augment] [--recipe DIR] [--cfg-options ...]

DIR/images has the chips, DIR/annotations.json COCO's records of them: an image's say the `chip` (x1, y1, x2, y2 in its
`source`), the `scale` and the exact `scale_factor` (x, y), so that x_source = x / scale_factor + x1; an object's say
whether it is `valid`, an `ignored` region (then `iscrowd`) or neither, and the `source_id` of its annotation.

Invalid objects, of another size than the chip's scale teaches or cut, stay objects, as they do for SNIPER's RoI head.
As `iscrowd` (--invalid ignore) nearly every other trainer would teach them as background: torchvision's and
detectron2's drop such annotations, mmdet's assigners do so too unless ignore_iof_thr is set.
Chips are padded to one size, right and below, so that who resizes images to that size leaves objects as large as they
are to be seen; --unpadded writes only what there is. Nothing is augmented; --augment runs what is behind ChipSampler.

A call that was stopped goes on where it was when it is made again; any number of processes writes the same bytes.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from chip_config import add_plan_arguments, chip_dataset_cfg, read_config
from tqdm import tqdm

from mmsniper.export import ExportSettings, cut_only, export_chips, left_out_transforms
from mmsniper.export.records import INVALID_AS
from mmsniper.export.summary import describe, mmdet_config
from mmsniper.registry import DATASETS


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_plan_arguments(parser)
    parser.add_argument('--out', type=Path, required=True, help='a new folder, or that of a call that was stopped')
    parser.add_argument('--epochs', type=int, default=1, help='how many epochs, from that one, in one data set')
    parser.add_argument('--workers', type=int, default=4, help='processes')
    parser.add_argument('--format', choices=['jpg', 'png'], default='jpg', help='of the chips')
    parser.add_argument('--quality', type=int, default=95, help='of JPEG')
    parser.add_argument('--invalid', choices=INVALID_AS, default='keep', help='what becomes of invalid objects')
    parser.add_argument('--unpadded', action='store_true', help='leave the padding of chips at an edge out')
    parser.add_argument('--augment', action='store_true', help='run the transforms behind ChipSampler, too')
    parser.add_argument('--recipe', type=Path, help='work directory of mmsniper recipe, for its negative chips')
    args = parser.parse_args()

    cfg = read_config(args)
    chips = chip_dataset_cfg(cfg)
    bar = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or tqdm(total=total, initial=done, desc='exporting', unit='chip')
        bar.update(done - bar.n)

    try:
        settings = ExportSettings(
            args.seed, args.epoch, args.epochs, args.format, args.quality, args.invalid, not args.unpadded, args.augment
        )
        left_out = left_out_transforms(cfg.train_dataloader.dataset, args.augment)
        dataset = DATASETS.build({**chips, 'pipeline': cut_only(chips.pipeline, args.augment)})
        summary = export_chips(dataset, args.out, settings, args.workers, progress)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    finally:
        if bar:
            bar.close()
    if summary['before']:
        print(f'{summary["before"]} chips were exported before')
    print('\n'.join(describe(summary, dataset.planner.scales, asdict(settings))))
    if left_out:
        print(f'left out of what training does: {", ".join(left_out)}')
    print(f'in {args.out}; plain mmdet trains on it by\n{mmdet_config(args.out, dataset.classes, dataset.planner)}')


if __name__ == '__main__':
    main()
