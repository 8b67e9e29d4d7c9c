"""Train a detector with mmdet's own training script, mmsniper's components registered.

python tools/train.py CONFIG [--work-dir DIR] [--amp] [--auto-scale-lr] [--resume] [--no-check] [--cfg-options ...]

All options of mmdet's script work; --launcher pytorch or slurm is for several processes.

Before weights are loaded, data, model and schedule are looked at together, as mmsniper check does: errors end it,
warnings are logged. --no-check leaves that out, and what mmsniper's hooks compare later: number and names of classes.
"""

import sys

from run_mmdet import run

from mmsniper.checks.switch import switch_off

if __name__ == '__main__':
    options = []
    if '--no-check' in sys.argv:
        sys.argv.remove('--no-check')
        switch_off()
    else:
        # Of any config, mmdet's own, too.
        options.append('default_hooks.config_check.type=mmsniper.ConfigCheckHook')
    run('train.py', *options)
