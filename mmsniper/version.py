"""The package's version, and the versions of the stack it works with."""

from __future__ import annotations

import re
from importlib import metadata

__version__ = '0.1.0'

# Import name: (distributions that provide it, first version that works, first that is unknown).
STACK = {
    'mmengine': (('mmengine', 'mmengine-lite', 'onedl-mmengine'), '0.10.3', '1.0.0'),
    'mmcv': (('mmcv', 'mmcv-lite', 'onedl-mmcv'), '2.0.0', '3.0.0'),
    'mmdet': (('mmdet', 'onedl-mmdetection'), '3.3.0', '4.0.0'),
}


def check_versions() -> None:
    """Refuse a stack this package does not work with. What is not installed is no error: ``mmsniper.chips`` needs none.

    Raises:
        RuntimeError: If mmengine, mmcv or mmdet is installed in a version out of bounds. (Not an ImportError: mmengine
            swallows those when it looks for a scope's registry.)
    """
    for name, (distributions, first, unknown) in STACK.items():
        for distribution in distributions:
            try:
                found = metadata.version(distribution)
            except metadata.PackageNotFoundError:
                continue
            if not _numbers(first) <= _numbers(found) < _numbers(unknown):
                raise RuntimeError(
                    f'mmsniper {__version__} works with {name} >= {first}, < {unknown}, but {distribution} {found} is '
                    f'installed; run: pip install "{distribution}>={first},<{unknown}"'
                )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:3])
