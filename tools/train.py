"""Train a detector with mmdet's own training script, mmsniper's components registered.

python tools/train.py CONFIG [--work-dir DIR] [--amp] [--resume] [--no-check] [--cfg-options ...]

Before weights are loaded, data, model and schedule are looked at together, as mmsniper check does: errors end it,
warnings are logged. --no-check leaves that out, and what the config's hooks compare later: number and names of classes.
"""

import sys

from run_mmdet import run

NO_CHECK = '--no-check'
HOOKS = {
    'default_hooks.config_check': 'ConfigCheckHook',
    'default_hooks.data_check': 'DataCheckHook',
    'default_hooks.num_classes': 'NumClassCheckHook',
}

if __name__ == '__main__':
    checks = NO_CHECK not in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != NO_CHECK]
    # The first of them looks at any config, mmdet's own, too.
    hooks = list(HOOKS.items())[:1] if checks else HOOKS.items()
    options = [(f'{key}.type=mmsniper.{kind}', f'{key}.enabled={checks}') for key, kind in hooks]
    run('train.py', *(option for pair in options for option in pair))
