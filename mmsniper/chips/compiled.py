"""The decorator of compiled functions: Numba, with a cache that never serves stale code.

Numba's own cache looks at one source file only, so an edit of a function that others inline would go unnoticed; and it
refuses to import where it finds no folder to write to. Here the cache is a folder of the user's, named by a hash of all
of this package's sources; where that cannot be written, functions are compiled anew in every process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, or read what an earlier process compiled.

    It runs without Python's lock, so that a plan can be made in the background.
    """
    dispatcher = numba.njit(function, nogil=True)
    folder = cache_folder()
    if folder is not None:
        configured, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            dispatcher.enable_caching()
        finally:
            numba.config.CACHE_DIR = configured
    return dispatcher


@cache
def cache_folder() -> Path | None:
    """Where compiled code of these very sources is kept; None if nothing can be written there."""
    user = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmsniper' / 'numba'
    root = Path(os.environ['NUMBA_CACHE_DIR']) if os.environ.get('NUMBA_CACHE_DIR') else user
    sources = sorted(Path(__file__).parent.glob('*.py'))
    digest = hashlib.sha256(b'\0'.join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = root / f'chips-{digest}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def is_cold() -> bool:
    """Whether the first call will have to compile, for some half a minute."""
    folder = cache_folder()
    return folder is None or next(folder.rglob('*.nbc'), None) is None
