"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: str | Path, mode: str = 'w') -> Iterator[IO[Any]]:
    """Write a file that takes its name when the block ends: before that, or after a kill, there is the old one.

    If the block fails, as on a full disk, nothing is left behind but the old file.

    Args:
        path: Where the file goes.
        mode: 'w' or 'wb'.
    """
    path = Path(path)
    unfinished = path.with_name(f'{path.name}.tmp')  # the same each time, so what a kill left is written over
    try:
        with unfinished.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
