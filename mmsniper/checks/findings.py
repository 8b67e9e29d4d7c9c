"""Finding: one thing that a check has to say."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import NamedTuple

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LEVELS = ERROR, WARNING, NOTE


class Finding(NamedTuple):
    """What was found, for people.

    Attributes:
        level: 'error', the run fails or learns something else than is meant; 'warning', it will be worse than it could
            be; 'note', good to know.
        about: What was looked at, such as 'classes'.
        what: What is so, with its numbers.
        why: Why it matters.
        write: Lines for the config, or a command; '' if there is nothing to be written.
    """

    level: str
    about: str
    what: str
    why: str
    write: str = ''

    def __str__(self) -> str:
        """For a terminal: wrapped, with the level in front."""
        lines = _wrapped(f'{self.level} ({self.about}): {self.what}', '') + _wrapped(self.why, '    ')
        return '\n'.join(lines + [f'    > {line}' for line in self.write.splitlines()])

    def logged(self) -> str:
        """For a log, which says the level itself: one line, and what is to be written."""
        lines = [f'{self.about}: {self.what}. {self.why}']
        return '\n'.join(lines + [f'    > {line}' for line in self.write.splitlines()])


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, 116, initial_indent=indent, subsequent_indent='    ', break_long_words=False, break_on_hyphens=False
    )


def of_error(about: str, error: Exception) -> Finding:
    """What a refusal says, which names the thing and the remedy itself."""
    what = str(error).strip() or type(error).__name__
    return Finding(ERROR, about, what, 'Training would stop with this, or teach something else.')


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first; otherwise as found, what is said twice once."""
    once: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        once.setdefault((finding.level, finding.what), finding)
    return sorted(once.values(), key=lambda finding: LEVELS.index(finding.level))
