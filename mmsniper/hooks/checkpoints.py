"""Which checkpoint of a work directory to go on from, whatever a kill, a full disk or a copy has left there."""

from __future__ import annotations

import re
import zipfile
from logging import WARNING
from pathlib import Path

from mmengine.logging import print_log

from ..chips.files import replacing

STEP = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint that mmengine's ``last_checkpoint`` names, or the one before if that is damaged.

    mmengine writes an absolute path there; a file of that name in the directory itself counts first, so that a copied
    work directory uses its own. What is not as the file says is logged.

    Args:
        work_dir: Work directory of a training.

    Returns:
        The checkpoint; None if there is none, or none that is whole.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        return None
    text = pointer.read_text(errors='replace').strip('\0 \n')
    named = Path(text) if text else None
    if named is not None and (work_dir / named.name).exists():
        named = work_dir / named.name
    if named is not None and is_whole(named):
        return named
    before = _newest_whole(work_dir, named)
    what = 'last_checkpoint is empty' if named is None else f'{named} is {"damaged" if named.exists() else "gone"}'
    then = f'the one before is taken, {before.name}' if before else 'none before it is whole: training starts anew'
    print_log(f'{work_dir}: {what}; {then}', 'current', WARNING)
    return before


def mend_last_checkpoint(work_dir: str | Path) -> None:
    """Let ``last_checkpoint`` name what :func:`last_checkpoint` finds; remove it if that is nothing."""
    pointer = Path(work_dir) / 'last_checkpoint'
    if not pointer.is_file():
        return
    found = last_checkpoint(work_dir)
    if found is None:
        pointer.unlink()
    elif pointer.read_text(errors='replace').strip() != str(found):
        with replacing(pointer) as file:
            file.write(str(found))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was written to its end: the table of contents of the archive that it is comes last."""
    if path.is_dir():  # as some strategies save
        return True
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile):
        return False


def _newest_whole(work_dir: Path, broken: Path | None) -> Path | None:
    """The last checkpoint that was written before `broken`."""
    limit = broken.stat().st_mtime if broken is not None and broken.exists() else float('inf')
    found = [path for path in work_dir.glob('*.pth') if STEP.fullmatch(path.name) and path != broken]
    found = [path for path in found if path.stat().st_mtime <= limit and is_whole(path)]
    return max(found, key=lambda path: (path.stat().st_mtime, int(STEP.fullmatch(path.name)[1])), default=None)
