"""Tables that stand in the README and the documentation, written there by the scripts that measure them."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path


def add_pages(parser: ArgumentParser) -> None:
    """The option that says where a table stands."""
    parser.add_argument(
        '--into', type=Path, nargs='+', default=[], metavar='PAGE.md', help="pages between whose marks the table's put"
    )


def show(table: str, name: str, pages: Iterable[Path]) -> None:
    """Print a table; put it into pages, in place of the one between their marks.

    Args:
        table: In markdown.
        name: Of the marks, lines ``<!-- name -->`` and ``<!-- /name -->``.
        pages: Files.

    Raises:
        SystemExit: If a page has no such marks.
    """
    print(table)
    for page in pages:
        begin, end = f'<!-- {name} -->\n', f'<!-- /{name} -->\n'
        before, found, rest = page.read_text().partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(
                f'error: {page} has no lines {begin.strip()} and {end.strip()} between which it would stand'
            )
        page.write_text(f'{before}{begin}\n{table}\n\n{end}{after}')
        print(f'Wrote it into {page}')
