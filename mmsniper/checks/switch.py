"""``--no-check``: whether this process, and those that it starts, look before they train."""

from __future__ import annotations

import os

VARIABLE = 'MMSNIPER_NO_CHECK'


def switch_off() -> None:
    """Let no hook stop a training or a test for what it compares, in this process and those it starts."""
    os.environ[VARIABLE] = '1'


def is_off() -> bool:
    """Whether :func:`switch_off` was called, here or in the process that started this one."""
    return os.environ.get(VARIABLE) == '1'
