"""The package's version, and the versions of the stack it works with."""

from __future__ import annotations

import re
from importlib import metadata

__version__ = '0.1.0'

# Distribution: (first version that works, first that is unknown). OpenMMLab's mmdet 3.3 refuses mmcv >= 2.2.
STACK = {
    'mmengine': ('0.10.3', '1.0.0'),
    'mmcv': ('2.0.0', '2.2.0'),
    'mmdet': ('3.3.0', '3.4.0'),
    'onedl-mmengine': ('0.10.3', '1.0.0'),
    'onedl-mmcv': ('2.3.0', '3.0.0'),
    'onedl-mmdetection': ('3.3.0', '4.0.0'),
}


def check_versions() -> None:
    """Refuse a stack this package does not work with. What is not installed is no error: ``mmsniper.chips`` needs none.

    Raises:
        RuntimeError: If mmengine, mmcv or mmdet is installed in a version out of bounds. (Not an ImportError: mmengine
            swallows those when it looks for a scope's registry.)
    """
    for name, (first, unknown) in STACK.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if not _numbers(first) <= _numbers(found) < _numbers(unknown):
            raise RuntimeError(
                f'mmsniper {__version__} works with {name} >= {first}, < {unknown}, but {found} is installed; '
                f'run: pip install "{name}>={first},<{unknown}"'
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:3])
