"""Our config files and tools: where they lie, in an installed package and in a clone, and what is called how."""

from __future__ import annotations

import difflib
from pathlib import Path


def type_name(kind: object) -> str:
    """A type in a config, a string or a class, without its scope."""
    return str(getattr(kind, '__name__', kind)).split('.')[-1]


def home() -> Path:
    """The folder that holds ``configs`` and ``tools``: ``mmsniper/.mim`` of a wheel, or a clone's root.

    Raises:
        FileNotFoundError: If the package was installed without them.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / '.mim', package.parent):
        if (folder / 'configs/sniper').is_dir() and (folder / 'tools').is_dir():
            return (folder / 'configs').resolve().parent  # an editable install has links to the clone
    raise FileNotFoundError(
        f'{package} was installed without its configs and tools: run pip install from a clone or a wheel of mmsniper'
    )


def config_path(name: str) -> str:
    """Path of one of our configs, for ``_base_`` where ``mmsniper::`` is not known, or for ``Config.fromfile``.

    Args:
        name: Its path below ``configs``, such as 'sniper/sniper_faster-rcnn_r50_fpn_coco.py', with ``mmsniper::`` or
            ``configs/`` before it or not; or its file's name alone. '.py' may be left out.

    Raises:
        FileNotFoundError: If there is none; names those that are called nearly so.
    """
    folder = home() / 'configs'
    wanted = name.removeprefix('mmsniper::').removeprefix('configs/').removesuffix('.py')
    known = {path.relative_to(folder).with_suffix('').as_posix(): path for path in sorted(folder.rglob('*.py'))}
    if '/' not in wanted:  # mim finds them so, too; a test keeps these names unique
        known = {key.rpartition('/')[2]: path for key, path in known.items() if not key.startswith('_base_/')}
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)
        hint = f'did you mean {" or ".join(near)}?' if near else f'they are below {folder}'
        raise FileNotFoundError(f'mmsniper has no config {wanted}; {hint}')
    return str(known[wanted])


def find_config(name: str) -> str:
    """Path of a config by its path, or of one of ours by its name.

    Raises:
        FileNotFoundError: If it is neither.
    """
    if Path(name).exists():
        return name
    try:
        return config_path(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{name}: no such file, and {error}') from None


def config_beside(name: str, file: str) -> str:
    """Path of a config that another one names: a file beside it, or one of ours.

    Args:
        name: What it names.
        file: Path of the other.

    Raises:
        FileNotFoundError: If it is neither.
    """
    beside = Path(file).parent / name
    return str(beside) if beside.exists() else find_config(name)
