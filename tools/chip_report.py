"""One HTML page of what a config trains on: chips per image and scale, pixels, labels, sizes, chips with their labels.

    python tools/chip_report.py CONFIG [--out DIR | FILE.html] [--json FILE] [--recipe DIR] [--chips 24] [--max-mb 4]
        [--epoch 0] [--seed N] [--cfg-options ...]

The page needs no other file and no network: it can be sent. What it finds wrong stands at its top, and is printed.
--json writes the same numbers for other programs. --recipe is the work directory of mmsniper recipe, for its
negative chips. With --chips 0 no image is read.
"""

import argparse
import json
from pathlib import Path

from chip_config import add_plan_arguments, planned

from mmsniper.image_files import UnreadableImageError
from mmsniper.report import gallery, panels_of_image, render, report_numbers


def main() -> None:
    """Read the arguments and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_plan_arguments(parser)
    parser.add_argument('--out', type=Path, help='HTML file or folder; default work_dirs/chips/<config name>')
    parser.add_argument('--json', type=Path, help='also write the numbers here')
    parser.add_argument('--recipe', type=Path, help='work directory of mmsniper recipe')
    parser.add_argument('--chips', type=int, default=24, help='how many chips are shown; 0 = none')
    parser.add_argument('--max-mb', type=float, default=4, help='most megabytes of these pictures')
    args = parser.parse_args()
    if args.chips < 0:
        parser.error(f'--chips is a number of pictures, 0 or more; got {args.chips}')

    cfg, samples, dataset, plan = planned(args)
    divisor = (cfg.get('model') or {}).get('data_preprocessor', {}).get('pad_size_divisor', 1)
    name = Path(args.config).stem
    about = dict(config=name, epoch=args.epoch, seed=args.seed, mixed=samples is not dataset)
    numbers = report_numbers(dataset, plan, divisor, **about)
    try:
        pictures = gallery(samples, dataset, plan, args.chips, int(args.max_mb * 2**20))
        shown = numbers['most_chips'][:1] if args.chips else []
        pictures['images'] = [panels_of_image(dataset, plan, image['idx']) for image in shown]
    except (RuntimeError, UnreadableImageError) as error:
        raise SystemExit(f'error: {error}; --chips 0 writes the report without images') from error

    out = args.out or Path('work_dirs/chips') / name
    out = out if out.suffix in ('.html', '.htm') else out / 'report.html'
    for path, content in ((out, render(numbers, pictures)), (args.json, json.dumps(numbers, indent=2))):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding='utf-8')
    for finding in numbers['findings']:
        print('{level}: {what}. {why} {remedy} {line}'.format(**finding).rstrip())
    print(f'{out}: {out.stat().st_size / 2**20:.1f} MB, {len(pictures["chips"])} of {len(plan)} chips')


if __name__ == '__main__':
    main()
