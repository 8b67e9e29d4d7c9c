"""Runs a script of the installed mmdet as if it were called itself."""

import argparse
import sys
from pathlib import Path

import mmdet

import mmsniper.registry  # noqa: F401  makes torch read mmengine's checkpoints, whatever the config names
from mmsniper.apis.launch import CPU_MODEL, has_devices, join
from mmsniper.cli import run_script


def run(script: str, *options: str) -> None:
    """Run ``mmdet/.mim/tools/<script>`` with this process's arguments, in several processes without GPUs, too.

    Args:
        script: Its file name.
        *options: Settings of the config, 'key=value', that those of the arguments override.

    Raises:
        FileNotFoundError: If mmdet was installed without its tools.
    """
    path = Path(mmdet.__file__).parent / '.mim' / 'tools' / script
    if not path.exists():
        raise FileNotFoundError(
            f'{path} is missing: this mmdet was installed without its tools; pip install mmdet again'
        )
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--launcher', default='none')
    launcher = parser.parse_known_args()[0].launcher
    if launcher != 'none' and not has_devices():
        join(launcher)
        options += tuple(f'model_wrapper_cfg.{key}={value}' for key, value in CPU_MODEL.items())
    if options:
        if '--cfg-options' not in sys.argv:
            sys.argv.append('--cfg-options')
        after = sys.argv.index('--cfg-options') + 1
        sys.argv[after:after] = options
    run_script(path, sys.argv[0], sys.argv[1:])
