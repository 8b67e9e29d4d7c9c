"""Look at a training config and its data before hours are spent on them.

    python tools/check_config.py CONFIG [--all-images] [--no-batch] [--gpus 8] [--json FILE] [--cfg-options ...]

Says of each finding what is so, why it matters and the line to write. With errors, the exit code is 1. tools/train.py
does the same with what it has built, but for the batch, when it begins.
"""

import argparse
import contextlib
import json
import sys
import time

from mmengine.config import Config, DictAction

import mmsniper.registry  # noqa: F401  types of ours need no custom_imports
from mmsniper.checks import ERROR, NOTE, check_config


def main() -> None:
    """Read the arguments, check, print; exits with 1 if there are errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a training config')
    parser.add_argument('--all-images', action='store_true', help='decode every image, not some from all over')
    parser.add_argument('--no-batch', action='store_true', help='send no batch through the network')
    parser.add_argument('--device', help='where the batch goes; default the device that training would use')
    parser.add_argument('--gpus', type=int, default=1, help='processes that the training will have, on all machines')
    parser.add_argument('--auto-scale-lr', action='store_true', help='the training will have this option')
    parser.add_argument('--json', metavar='FILE', help='write all findings there, too; - prints nothing else')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    start = time.perf_counter()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    if args.auto_scale_lr and cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr.enable = True
    # What is said while building goes to stderr: what is left is the findings.
    with contextlib.redirect_stdout(sys.stderr):
        findings = check_config(cfg, args.all_images, not args.no_batch, args.gpus, args.device)
    errors = sum(finding.level == ERROR for finding in findings)
    content = json.dumps(dict(config=args.config, findings=[finding._asdict() for finding in findings]), indent=2)
    if args.json == '-':
        print(content)
    else:
        for finding in findings:
            print(f'{finding}\n')
        warnings = sum(finding.level not in (ERROR, NOTE) for finding in findings)
        print(f'{args.config}: {errors} errors, {warnings} warnings, in {time.perf_counter() - start:.0f} s')
        if args.json:
            with open(args.json, 'w', encoding='utf-8') as file:
                file.write(content + '\n')
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
