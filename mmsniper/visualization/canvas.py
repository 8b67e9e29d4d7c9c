"""What pictures of chips are made of: frames, words, titles, a legend, a grid.

All colours are BGR, all pictures (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import mmcv
import numpy as np

from ..chips import ChipKind

Colour = tuple[int, int, int]


class Line(NamedTuple):
    """How something is outlined.

    Attributes:
        colour: Of the line.
        dash: Length of its dashes in pixels; 0 = solid.
        thickness: In pixels.
    """

    colour: Colour
    dash: int = 0
    thickness: int = 1


VALID = Line((70, 200, 70))
INVALID = Line((0, 140, 255), 4)
IGNORED = Line((170, 170, 170), 2)
PREDICTION = Line((255, 190, 60))
PROPOSAL = Line((220, 120, 255))
SCALE_COLOURS = [(60, 60, 230), (230, 150, 40), (200, 60, 200), (40, 190, 230), (120, 220, 60)]
DASH = {ChipKind.POSITIVE: 0, ChipKind.NEGATIVE: 12, ChipKind.RANDOM: 3}
BOXES = {
    'valid object': VALID,
    'invalid object (other size, or cut)': INVALID,
    'ignored region': IGNORED,
}
CHIPS = {f'{kind.name.lower()} chip': Line((230, 230, 230), dash, 2) for kind, dash in DASH.items()}
PANEL, MARGIN = 640, 24
GROUND = (30, 30, 30)
SWATCH, ROW = 42, 20


def scale_colour(scale_idx: int) -> Colour:
    """Colour of a scale."""
    return SCALE_COLOURS[scale_idx % len(SCALE_COLOURS)]


def rectangle(image: np.ndarray, box: np.ndarray, line: Line) -> None:
    """Draw a half-open xyxy box, in place."""
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    if not line.dash:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), line.colour, line.thickness)
        return
    # Only the part of the picture that the outline is in: dense images have hundreds.
    x0, y0 = max(x1 - line.thickness, 0), max(y1 - line.thickness, 0)
    part = image[y0 : max(y2, 0) + line.thickness, x0 : max(x2, 0) + line.thickness]
    outline = np.zeros(part.shape[:2], np.uint8)
    cv2.rectangle(outline, (x1 - x0, y1 - y0), (x2 - 1 - x0, y2 - 1 - y0), 1, line.thickness)
    along = np.add.outer(*map(np.arange, outline.shape))  # grows by one per pixel along either kind of edge
    part[(outline == 1) & (along // line.dash % 2 == 0)] = line.colour


def write(image: np.ndarray, text: str, at: tuple[int, int], colour: Colour) -> None:
    """Small text on a dark ground, in place; readable on any picture.

    Args:
        image: What is written on.
        text: The words.
        at: (x, y), left end of the line that the text stands on.
        colour: Of the text.
    """
    (width, height), base = _extent(text)
    cv2.rectangle(image, (at[0] - 1, at[1] - height - 1), (at[0] + width, at[1] + base - 1), GROUND, -1)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def titled(image: np.ndarray, title: str, colour: Colour) -> np.ndarray:
    """The image with a title above it and a gap to its right and below; as wide as the title at least."""
    missing = max(_extent(title)[0][0] + 8 - image.shape[1], 4)
    framed = cv2.copyMakeBorder(image, MARGIN, 4, 0, missing, cv2.BORDER_CONSTANT, value=GROUND)
    write(framed, title, (4, MARGIN - 8), colour)
    return framed


def legend(width: int, lines: dict[str, Line]) -> np.ndarray:
    """What the lines of a picture mean, (H, width, 3), in as many rows as it takes.

    Args:
        width: Of the picture that it goes under; what is longer than that is cut.
        lines: By what they mean.
    """
    rows, x = [[]], 4
    for name, line in lines.items():
        needed = SWATCH + _extent(name)[0][0] + 16
        if x + needed > width and rows[-1]:
            rows.append([])
            x = 4
        rows[-1].append((x, name, line))
        x += needed
    strip = np.full((ROW * len(rows) + 4, width, 3), GROUND, np.uint8)
    for row, entries in enumerate(rows):
        top = row * ROW + 4
        for x, name, line in entries:
            rectangle(strip, np.array([x, top + 1, x + SWATCH - 6, top + 13]), line)
            write(strip, name, (x + SWATCH, top + 11), (225, 225, 225))
    return strip


def with_legend(image: np.ndarray, lines: dict[str, Line]) -> np.ndarray:
    """The image with a legend under it."""
    return np.vstack([image, legend(image.shape[1], lines)])


def grid(tiles: Sequence[np.ndarray], width: int = 3 * PANEL) -> np.ndarray:
    """Pictures of any sizes in rows and columns.

    Args:
        tiles: At least one.
        width: As many columns as fit it, one at least.
    """
    height, tile_width = np.max([tile.shape[:2] for tile in tiles], axis=0)
    tiles = [mmcv.impad(tile, shape=(height, tile_width), pad_val=GROUND) for tile in tiles]
    columns = min(len(tiles), max(1, width // tile_width))
    tiles += [np.full_like(tiles[0], GROUND)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def _extent(text: str) -> tuple[tuple[int, int], int]:
    """((width, height), base) of a text in pixels."""
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
