"""Values as lines of a config, as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH = 116


class Name(str):
    """A name in the config, written without quotes."""

    def __repr__(self) -> str:
        return str(self)


def text(value: Any, indent: int = 0) -> str:
    """A value as configs of this family write it: dict(key=value), broken into lines where it is long."""
    flat = one_line(value)
    if len(flat) + indent <= WIDTH - 20 or not isinstance(value, (dict, list)) or not value:
        return flat
    inner, outer = ' ' * (indent + 4), ' ' * indent
    if isinstance(value, dict):
        rows = [f'{inner}{key}={text(item, indent + 4)},' for key, item in value.items()]
        return '\n'.join(['dict(', *rows, f'{outer})'])
    return '\n'.join(['[', *(f'{inner}{text(item, indent + 4)},' for item in value), f'{outer}]'])


def one_line(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isidentifier() for key in value):
            return '{' + ', '.join(f'{key!r}: {one_line(item)}' for key, item in value.items()) + '}'
        return f'dict({", ".join(f"{key}={one_line(item)}" for key, item in value.items())})'
    if isinstance(value, list):
        return f'[{", ".join(map(one_line, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(one_line, value))}{"," if len(value) == 1 else ""})'
    return repr(value)


def written_scales(scales: Iterable) -> list:
    """Scales of a planner as people write them."""
    return [tuple(map(_whole, scale)) if isinstance(scale, (tuple, list)) else scale for scale in scales]


def written_ranges(ranges: Iterable) -> list[tuple]:
    """Ranges of a planner as people write them: whole numbers, None for an open end."""
    return [tuple(None if end is None or end in (0, float('inf')) else _whole(end) for end in pair) for pair in ranges]


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value
