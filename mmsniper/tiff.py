"""TIFF files window by window, by tifffile: which of their images can be read so, and the pixels of a window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from .image_files import too_deep

if TYPE_CHECKING:
    from tifffile import TiffPage

# By their numbers in the file: none, LZW, JPEG, deflate (two numbers), PackBits.
COMPRESSIONS, JPEG = (1, 5, 7, 8, 32946, 32773), 7
# Photometric interpretation, samples per pixel, JPEG or not: what tifffile gives as OpenCV does.
COLOURS = {(1, 1, False), (2, 3, False), (2, 4, False), (1, 1, True), (2, 3, True), (6, 3, True)}
ORIENTATION, UPRIGHT, REDUCED, UNASSOCIATED = 274, 1, 1, 2
# A tile or strip of more bytes is not worth decoding for a chip.
LARGEST_PIECE, MOST_PAGES = 2**26, 100


class Level(NamedTuple):
    """An image of a file, full size or reduced; sizes are (width, height)."""

    page: TiffPage
    size: tuple[int, int]
    piece: tuple[int, int]  # a tile, or a strip
    decode: Callable  # of bytes and a tile's or strip's number
    mapped: bool  # pixels lie in the file as in memory


def read_levels(path: str) -> dict[int, Level]:
    """The image and its reduced copies (overviews), by factor; none if windows would not be as OpenCV reads them.

    Raises:
        ImportError: If a library is missing; names the file and what to install.
        DeepImageError: If the image has more than 8 bits per channel.
        OSError: If the file is cut off.
    """
    try:
        from tifffile import TIFF, TiffFile
    except ImportError as error:
        raise ImportError(_install(path, 'tifffile')) from error
    try:
        with TiffFile(path) as file:
            page = file.pages[0]
            first = _level(page)
            cut_off = max(np.add(page.dataoffsets, page.databytecounts)) > file.filehandle.size
            copies = [_level(copy) for copy in (*(page.pages or ()), *islice(file.pages, 1, MOST_PAGES))]
    except Exception:  # tifffile raises anything for a damaged header; who decodes the whole says what is wrong
        return {}
    if page.dtype is not None and page.bitspersample > 8:
        raise too_deep(path, page.bitspersample)
    if first is None:
        return {}
    if cut_off:
        raise OSError('it is cut off')
    if page.compression not in TIFF.DECOMPRESSORS:
        raise ImportError(_install(path, f'imagecodecs (for {page.compression.name})'))
    levels = {1: first}
    for copy in copies:
        factor = round(first.size[0] / copy.size[0]) if copy and copy.page.subfiletype == REDUCED else 0
        if factor > 1 and np.abs(np.subtract(copy.size, np.divide(first.size, factor))).max() <= 1:
            levels.setdefault(factor, copy)
    return levels


def read_window(path: str, level: Level, window: tuple[int, int, int, int]) -> np.ndarray:
    """Pixels of a window: (H, W, 3) uint8, BGR.

    Args:
        path: Of the file.
        level: One of :func:`read_levels`.
        window: x1, y1, x2, y2, whole pixels of this level, inside it.

    Raises:
        ValueError: If a tile or strip is missing or damaged; says which.
    """
    (x1, y1, x2, y2), (width, height), page = window, level.piece, level.page
    if level.mapped:
        shape = page.imagelength, page.imagewidth, page.samplesperpixel
        return _as_bgr(np.memmap(path, np.uint8, 'r', page.dataoffsets[0], shape)[y1:y2, x1:x2], page)
    pixels = np.empty((y2 - y1, x2 - x1, page.samplesperpixel), np.uint8)
    with Path(path).open('rb') as file:  # anew: forked processes would share the place in an open one
        for top in range(y1 // height * height, y2, height):
            for left in range(x1 // width * width, x2, width):
                n = top // height * -(-level.size[0] // width) + left // width
                file.seek(page.dataoffsets[n])
                data = file.read(page.databytecounts[n])
                try:
                    piece = level.decode(data, n)[0][0]
                except Exception as error:  # each codec has its own
                    raise ValueError(f'tile or strip {n} of {len(page.dataoffsets)} is damaged: {error}') from error
                xs, ys = slice(max(x1, left), min(x2, left + width)), slice(max(y1, top), min(y2, top + height))
                part = piece[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
                pixels[ys.start - y1 : ys.stop - y1, xs.start - x1 : xs.stop - x1] = part
    return _as_bgr(pixels, page)


def _level(page: TiffPage) -> Level | None:
    """A page that can be read in windows."""
    jpeg = page.compression == JPEG
    colour = page.photometric, page.samplesperpixel, jpeg
    plain = page.dtype == np.uint8 and page.bitspersample == 8 and page.fillorder == page.imagedepth == 1
    plain &= page.compression in COMPRESSIONS and colour in COLOURS
    plain &= page.planarconfig == 1 and page.tags.valueof(ORIENTATION, UPRIGHT) == UPRIGHT
    height, width = page.chunks[:2]
    n = len(page.dataoffsets)
    if not plain or min(width, height) < 1 or not n == len(page.databytecounts) == np.prod(page.chunked[:2]):
        return None
    mapped = page.is_memmappable
    if not mapped and (np.prod(page.chunks) > LARGEST_PIECE or not all(page.databytecounts)):
        return None
    decode = partial(page.decode, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
    return Level(page, (page.imagewidth, page.imagelength), (width, height), decode, mapped)


def _as_bgr(pixels: np.ndarray, page: TiffPage) -> np.ndarray:
    """What OpenCV makes of gray, RGB or RGBA: alpha that was not multiplied into the colours is now."""
    if pixels.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2BGR)
    colours = pixels[..., :3]
    if pixels.shape[2] == 4 and page.extrasamples[:1] == (UNASSOCIATED,):
        colours = ((colours.astype(np.uint16) * pixels[..., 3:] + 127) // 255).astype(np.uint8)
    return cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2BGR)


def _install(path: str, library: str) -> str:
    return f'{path}: reading windows of it needs {library}: pip install tifffile imagecodecs'
