"""Charts as inline SVG, drawn 360 wide so that their words can be read on a phone; the page's style sheet colours them.

A chart is one picture to a screen reader, which reads its summary; the numbers stand in a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH = 360
ROW, BAR, CHARACTER = 20, 14, 7.8  # pixels, and how wide a letter of 12 px may be
COLUMNS = 150  # height of a chart of columns without its axis


class Series(NamedTuple):
    """Numbers of one colour.

    Attributes:
        name: What they are.
        style: Class of the style sheet.
        values: One per row or column.
    """

    name: str
    style: str
    values: Sequence[float]


def rows(summary: str, labels: Sequence[str], series: Sequence[Series], texts: Sequence[str]) -> Markup:
    """Horizontal bars, one below the other, stacked where there are several series.

    Args:
        summary: Read by screen readers.
        labels: Before the bars; above them if they are long.
        series: Parts of the bars.
        texts: Behind the bars.
    """
    totals = [sum(values) for values in zip(*(each.values for each in series), strict=True)]
    longest = max((len(label) for label in labels), default=0)
    above = longest > 16
    left = 0 if above else longest * CHARACTER + 8
    right = max((len(text) for text in texts), default=0) * CHARACTER + 8
    scale = (WIDTH - left - right) / (max(totals, default=0) or 1)
    height = 2 * ROW if above else ROW
    parts = []
    for n, (label, text) in enumerate(zip(labels, texts, strict=True)):
        y, x = n * height, float(left)
        parts.append(_text(0 if above else left - 8, y + 14, label, '' if above else 'end'))
        top = y + ROW - 1 if above else y + 3
        for each in series:
            width = each.values[n] * scale
            if width > 0:
                parts.append(_rectangle(each, x, top, max(width, 1), BAR, text))
            x += width
        parts.append(_text(x + 6, top + 11, text))
    return _svg(summary, max(len(labels), 1) * height + 2, parts)


def columns(summary: str, edges: Sequence[float], series: Sequence[Series], most: float) -> Markup:
    """Vertical bars between edges that grow by a constant factor, stacked where there are several series.

    Args:
        summary: Read by screen readers.
        edges: One more than there are columns; whole powers of two are written.
        series: Parts of the columns.
        most: What the full height stands for, so that charts can be compared.
    """
    width = WIDTH / max(len(edges) - 1, 1)
    parts = []
    for n in range(len(edges) - 1):
        y = float(COLUMNS)
        for each in series:
            height = each.values[n] / (most or 1) * COLUMNS
            if height > 0:
                what = f'{edges[n]:.0f} to {edges[n + 1]:.0f} px: {each.values[n]:.1%}'
                parts.append(_rectangle(each, n * width + 1, y - height, max(width - 2, 1), height, what))
            y -= height
    parts.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{COLUMNS}" y2="{COLUMNS}"/>')
    whole = [n for n, edge in enumerate(edges) if abs(edge - round(edge)) < 1e-6]
    every = -(-len(whole) // 9)
    for n in whole[::every]:
        anchor = 'start' if n == 0 else 'end' if n == len(edges) - 1 else 'middle'
        parts.append(
            f'<line class="axis" x1="{n * width:.1f}" x2="{n * width:.1f}" y1="{COLUMNS}" y2="{COLUMNS + 4}"/>'
        )
        parts.append(_text(n * width, COLUMNS + 16, f'{edges[n]:.0f}', anchor))
    return _svg(summary, COLUMNS + 20, parts)


def _svg(summary: str, height: float, parts: Sequence[str]) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(summary)}">'
    return Markup(head + ''.join(parts) + '</svg>')


def _text(x: float, y: float, text: str, anchor: str = '') -> str:
    of_anchor = f' text-anchor="{anchor}"' if anchor else ''
    return f'<text x="{x:.1f}" y="{y:g}"{of_anchor}>{escape(text)}</text>'


def _rectangle(series: Series, x: float, y: float, width: float, height: float, what: str) -> str:
    """A part of a bar; `what` comes up under the mouse."""
    title = escape(f'{series.name}: {what}' if series.name else what)
    where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{series.style}" {where}><title>{title}</title></rect>'
