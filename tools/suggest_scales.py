"""Look at a data set and write a training config for it: scales, ranges, chips, batch, schedule.

    python tools/suggest_scales.py ANN.json [--images DIR] [--val VAL.json] [--val-images DIR] [--budget 1.5]
        [--gpu-memory 16] [--epochs N] [--base CONFIG] [--out my_sniper.py] [--json FILE]

ANN.json is a COCO-format file; images are looked for, not read. Prints what the data are like, the plan, and why;
writes the config (--out), which trains as it is, and beside it a picture of the sizes (.png). Without --val, 15 % of
the images are set apart to validate on, in two files beside the config.

Scales are found by planning the real annotations with hundreds of pyramids and scoring what the network would see.
--base is the network: a config, by its path or one of ours by its name; sniper_tiny_shapes trains on a CPU.
"""

import argparse
import json
from pathlib import Path

from chip_config import WITHOUT_NEGATIVES
from mmengine.config import Config
from mmengine.logging import print_log

from mmsniper.suggest import config_text, data_files, read_base, read_fingerprint, suggest
from mmsniper.suggest.report import as_dict, report

BASE = 'sniper/sniper_faster-rcnn_r50_fpn_coco'
MADE_BY = 'Suggested by mmsniper suggest'


def main() -> None:
    """Read the arguments, suggest, write."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0], epilog='\n'.join(__doc__.split('\n')[5:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('annotations', metavar='ANN.json', help='what to train on, in COCO format')
    parser.add_argument('--images', metavar='DIR', help='folder of its images; default: looked for near the file')
    parser.add_argument('--val', metavar='VAL.json', help='what to validate on; default: a part of ANN.json')
    parser.add_argument('--val-images', metavar='DIR', help='folder of their images; default: looked for')
    parser.add_argument(
        '--budget', type=positive, default=1.5, help='most pixels of an epoch, of one pass at one scale'
    )
    parser.add_argument('--gpu-memory', type=positive, default=16, metavar='GB', help='memory of a GPU; default 16')
    parser.add_argument('--epochs', type=int, help='as many epochs; default: by the number of chips')
    parser.add_argument('--base', default=BASE, metavar='CONFIG', help='path or name; default: R-50-FPN')
    parser.add_argument('--out', type=Path, default=Path('my_sniper.py'), help='config to write; default my_sniper.py')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write everything as numbers')
    args = parser.parse_args()
    if args.epochs is not None and args.epochs < 1:
        parser.error(f'--epochs {args.epochs} will not do: give 1 or more')
    if args.out.suffix != '.py':
        parser.error(f'--out {args.out} is no config: give a name that ends in .py')
    if args.out.exists() and not args.out.read_text().startswith(f'# {MADE_BY}'):
        parser.error(f'--out {args.out} is there already, and not by this tool: give another name')
    try:
        base = read_base(args.base)
        data = read_fingerprint(args.annotations, base.with_masks)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        files = data_files(data, args.out, args.images, args.val, args.val_images, base.with_masks)
        print_log(
            'Planning the annotations with some hundred pyramids; the first time on a machine takes half a minute'
        )
        found = suggest(data, base, args.budget, args.gpu_memory, args.epochs, files.n_train)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    title = f'{Path(args.annotations).name}: {len(data)} images, {len(data.table.bboxes)} objects'
    print(report(data, base, found, files.notes))
    earlier = args.out.exists()
    args.out.write_text(config_text(data, base, found, files, f'{MADE_BY} for {title}.'))
    Config.fromfile(args.out)  # what was written can be read
    from mmsniper.suggest.pictures import draw  # matplotlib takes a second to import

    picture = args.out.with_suffix('.png')
    draw(base, found, title, picture)
    if args.json:
        args.json.write_text(json.dumps(as_dict(data, base, found), indent=2) + '\n')
    print(
        f'\n{"Replaced" if earlier else "Wrote"} {args.out} and {picture}' + (f' and {args.json}' if args.json else '')
    )
    trained = f'work_dirs/{args.out.stem}/epoch_{found.schedule.epochs}.pth'
    # Before the recipe there are no negative chips to look at.
    train, without = ('train', '') if base.rpn is None else ('recipe', f' {WITHOUT_NEGATIVES}')
    print(f'Check it, look at its chips, train and test:\n  mmsniper check {args.out}')
    print(f'  mmsniper browse {args.out}{without}')
    print(f'  mmsniper {train} {args.out}\n  mmsniper test {args.out} {trained} --tta')


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} will not do: give a number above 0')
    return value


if __name__ == '__main__':
    main()
