"""What AutoFocus costs and finds at several thresholds, against the full pyramid: a table, a picture, and what to take.

    python tools/focus_curve.py CONFIG CHECKPOINT [--thresholds 0.02 0.05 0.1 0.2 0.3 0.5] [--loss 0.3]
        [--out work_dirs/focus] [--images N] [--cfg-options ...]

The config's detector has a FocusHead (model=dict(type='mmsniper.WithFocus', ...)); its test data are used. Writes
focus_curve.json and focus_curve.png. --loss: points of AP that one would give away; the cheapest threshold that keeps
to it is named, as a line for the config.
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config, DictAction

from mmsniper.config_lines import one_line
from mmsniper.evaluation.focus_curve import THRESHOLDS, cheapest, focus_curve, focus_runner, with_threshold
from mmsniper.visualization.focus import draw_curve


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of a detector with a FocusHead')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--thresholds', nargs='+', type=float, default=list(THRESHOLDS), help='each in (0, 1)')
    parser.add_argument('--loss', type=float, default=0.3, help='points of AP, of 100')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/focus'), help='folder to write to')
    parser.add_argument('--images', type=int, help='the first so many of the test data; default all')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as for mmsniper test')
    args = parser.parse_args()
    if wrong := [threshold for threshold in args.thresholds if not 0 < threshold < 1]:
        parser.error(f'--thresholds are probabilities, in (0, 1); got {wrong}')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    cfg.work_dir = str(args.out)
    if args.images:
        cfg.test_dataloader.dataset.indices = args.images
    try:
        runner = focus_runner(cfg, args.checkpoint)
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    rows = focus_curve(runner, args.thresholds)

    heads = 'threshold', 'AP', 'AP small', 'AR small', 'Mpx per image', 'of the pyramid', 's per image', 'small marked'
    print(f'\n| {" | ".join(heads)} |')
    print('|---|---|---|---|---|---|---|---|')
    for row in rows:
        name = 'full pyramid' if row['threshold'] is None else f'{row["threshold"]:g}'
        figures = [f'{row[key]:.3f}' for key in ('AP', 'AP_small', 'AR_small')]
        figures += [f'{row["pixels"] / 1e6:.2f}', f'{row["share"]:.0%}', f'{row["seconds"]:.2f}']
        figures.append('' if row['recall'] is None else f'{row["recall"]:.1%}')
        print(f'| {name} | {" | ".join(figures)} |')
    found = cheapest(rows, args.loss / 100)
    if found['threshold'] is None:
        print(f'\nNo threshold keeps to {args.loss:g} AP: take the full pyramid (tta_cfg.focus=None), or lower ones')
    else:
        print(f'\n{args.loss:g} AP: threshold {found["threshold"]:g}, {found["share"]:.0%} of the pixels:')
        focus = with_threshold(runner.model.given_focus, found['threshold'])
        print(f'tta_model = dict(tta_cfg=dict(focus={one_line(focus)}))')
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'focus_curve.json').write_text(json.dumps(rows, indent=1) + '\n')
    draw_curve(rows, args.out / 'focus_curve.png')
    print(f'Wrote {args.out}/focus_curve.json and focus_curve.png')


if __name__ == '__main__':
    main()
