"""Runs a script of the installed mmdet as if it were called itself."""

import runpy
from pathlib import Path

import mmdet

import mmsniper.registry  # noqa: F401  makes torch read mmengine's checkpoints, whatever the config names


def run(script: str) -> None:
    """Run ``mmdet/.mim/tools/<script>`` with this process's arguments.

    Raises:
        FileNotFoundError: If mmdet was installed without its tools.
    """
    path = Path(mmdet.__file__).parent / '.mim' / 'tools' / script
    if not path.exists():
        raise FileNotFoundError(
            f'{path} is missing: this mmdet was installed without its tools; pip install mmdet again'
        )
    runpy.run_path(str(path), run_name='__main__')
