"""Which checkpoint of a work directory to go on from, whatever a kill, a full disk or a copy has left there."""

from __future__ import annotations

import re
import zipfile
from logging import WARNING
from pathlib import Path

from mmengine.logging import print_log

from ..chips.files import replacing

STEP = re.compile(r'(?P<kind>(?!best_).*_)(?P<n>\d+)\.pth')


def last_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint that mmengine's ``last_checkpoint`` names, or the one before if that is damaged.

    mmengine writes an absolute path there; a file of that name in the directory itself counts first, so that a copied
    work directory uses its own. What is not as the file says is logged.

    Args:
        work_dir: Work directory of a training.

    Returns:
        The checkpoint; None if there is no ``last_checkpoint``. One that is no local file is not looked at.

    Raises:
        ValueError: If there is none that is whole.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        return None
    text = pointer.read_text(errors='replace').strip('\0 \n')
    if '://' in text:
        return text
    named = Path(text) if text else None
    if named is not None and (work_dir / named.name).exists():
        named = work_dir / named.name
    if named is not None and is_whole(named):
        return str(named)
    before = _one_before(work_dir, named)
    what = 'last_checkpoint is empty' if named is None else f'{named} is {"damaged" if named.exists() else "gone"}'
    if before is None:
        raise ValueError(
            f'{work_dir}: {what}, and there is none before it to go on from; remove {pointer} to start anew (and keep '
            'two checkpoints: with max_keep_ckpts=1 mmengine removes one before it has written the next)'
        )
    print_log(f'{work_dir}: {what}; the one before is taken, {before.name}', 'current', WARNING)
    return str(before)


def mend_last_checkpoint(work_dir: str | Path) -> None:
    """Let ``last_checkpoint`` name what :func:`last_checkpoint` finds.

    Raises:
        ValueError: If that is nothing.
    """
    pointer = Path(work_dir) / 'last_checkpoint'
    found = last_checkpoint(work_dir)
    if found is not None and pointer.read_text(errors='replace').strip() != found:
        with replacing(pointer) as file:
            file.write(found)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was written to its end: the table of contents of the archive that it is comes last."""
    if path.is_dir():  # as some strategies save
        return True
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile):
        return False


def _one_before(work_dir: Path, broken: Path | None) -> Path | None:
    """The whole checkpoint of the highest number below that of `broken`; without, the last that was written."""
    folders = {work_dir} if broken is None else {work_dir, broken.parent}
    found = [
        (path, match) for folder in folders for path in folder.glob('*.pth') if (match := STEP.fullmatch(path.name))
    ]
    limit = STEP.fullmatch(broken.name) if broken is not None else None
    if limit is not None:
        # Of numbers, not of times: a copy may have any times.
        found = [(path, m) for path, m in found if m['kind'] == limit['kind'] and int(m['n']) < int(limit['n'])]
        found.sort(key=lambda one: int(one[1]['n']))
    else:
        found.sort(key=lambda one: (one[0].stat().st_mtime, int(one[1]['n'])))
    return next((path for path, _ in reversed(found) if path != broken and is_whole(path)), None)
