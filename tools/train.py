"""Train a detector with mmdet's own training script, mmsniper's components registered.

python tools/train.py CONFIG [--work-dir DIR] [--amp] [--resume] [--no-check] [--cfg-options ...]

Before weights are loaded, data, model and schedule are looked at together, as tools/check_config.py does: errors end
it, warnings are logged. --no-check leaves that out.
"""

import sys

from run_mmdet import run

NO_CHECK = '--no-check'

if __name__ == '__main__':
    check = 'default_hooks.config_check'
    # Of any config, mmdet's own, too.
    options = [f'{check}.type=mmsniper.ConfigCheckHook', f'{check}.enabled={NO_CHECK not in sys.argv}']
    sys.argv = [argument for argument in sys.argv if argument != NO_CHECK]
    run('train.py', *options)
