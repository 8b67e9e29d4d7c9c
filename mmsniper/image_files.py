"""What a file says of itself before it is decoded, why it cannot be, and which of many are looked at."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile

# Byte order, and types of the number of entries and of counts and offsets, of TIFF and BigTIFF.
TIFF_LAYOUTS = {
    b'II*\0': ('<', 'H', 'I'),
    b'MM\0*': ('>', 'H', 'I'),
    b'II+\0': ('<', 'Q', 'Q'),
    b'MM\0+': ('>', 'Q', 'Q'),
}


class UnreadableImageError(ValueError):
    """A file that should be an image and is none; names it and the remedy."""


class MissingImageError(UnreadableImageError, FileNotFoundError):
    """A file that is not there."""


class DeepImageError(ValueError):
    """A file of more bits per channel than its loader keeps; names it and the remedy."""


def spread(n: int, most: int) -> np.ndarray:
    """Up to `most` of n numbers from 0, at equal distances: what shows a part shows of the whole."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(int))


def unreadable(path: str | Path, error: Exception) -> UnreadableImageError:
    """What to raise where reading a file as an image raised `error`; names the file, why, and the remedy."""
    why = str(error).strip() or type(error).__name__
    if Path(path).is_file() and not Path(path).stat().st_size:
        why = 'the file is empty'
    elif isinstance(error, FileNotFoundError):
        why = 'the file does not exist'
    elif isinstance(error, (AssertionError, AttributeError)):  # what mmcv makes of a decoder that gives nothing
        why = 'it is damaged, or of a format that OpenCV does not know'
    kind = MissingImageError if isinstance(error, FileNotFoundError) else UnreadableImageError
    return kind(f'{path}: cannot be read as an image: {why}; restore it, or remove it and its annotations')


def too_deep(path: str | Path, bits: int) -> DeepImageError:
    """What to raise for a file of so many bits per channel; names the file and the remedy."""
    return DeepImageError(
        f'{path}: has {bits} bits per channel, of which the loader would keep the upper 8; convert it by the range '
        "that its values have, or load it as it is: write dict(type='LoadImageFromFile', color_type='unchanged'), "
        "dict(type='mmsniper.To8Bit', max_value=4095) for values up to 4095, in every pipeline"
    )


def load_checked(loader: Callable[[Any], dict | None], inputs: Any, path: str | Path) -> dict | None:
    """Run a transform that loads an image.

    Args:
        loader: Such as mmcv's ``LoadImageFromFile``, or mmdet's ``InferencerLoader`` around one.
        inputs: What it is called with.
        path: The file that it reads.

    Raises:
        UnreadableImageError: If the file cannot be read.
        DeepImageError: If the loader would read 16 bits as 8.
    """
    try:
        results = loader(inputs)
    except (OSError, AssertionError, AttributeError, cv2.error) as error:
        raise unreadable(path, error) from error
    check_depth(loader, path)
    return results


def check_depth(loader: Callable, path: str | Path) -> None:
    """Refuse a PNG or TIFF of more than 8 bits per channel where its loader keeps the upper 8: 12-bit data turn black.

    Args:
        loader: As for :func:`load_checked`. Of others than mmcv's own nothing is known, and nothing said.
        path: The file; what is no file on this machine, or no PNG or TIFF, is not looked at.

    Raises:
        DeepImageError: If it has more.
    """
    loader = getattr(loader, 'from_file', loader)
    narrows = type(loader) is LoadImageFromFile and loader.color_type != 'unchanged'
    if not narrows or loader.imdecode_backend == 'tifffile':
        return
    bits = bits_per_channel(path)
    if bits > 8:
        raise too_deep(path, bits)


def bits_per_channel(path: str | Path) -> int:
    """Of a PNG or TIFF, by its header alone; 8 for everything else."""
    path = Path(path)
    if path.suffix.lower() not in ('.png', '.tif', '.tiff') or not path.is_file():
        return 8
    with path.open('rb') as file:
        head = file.read(26)
        if head[:8] == b'\x89PNG\r\n\x1a\n' and len(head) == 26:
            return head[24]
        layout = TIFF_LAYOUTS.get(head[:4])
        try:
            return _tiff_bits(file, head, *layout) if layout else 8
        except (struct.error, OSError, ValueError):  # cut off, or damaged: whoever decodes it says so
            return 8


def _tiff_bits(file: BinaryIO, head: bytes, order: str, number: str, offset: str) -> int:
    """BitsPerSample, tag 258, in the first directory, whose entries are tag, kind, count and value or its offset."""
    room = struct.calcsize(offset)
    file.seek(struct.unpack(order + offset, head[room : 2 * room])[0])
    entries = struct.unpack(order + number, file.read(struct.calcsize(number)))[0]
    for _ in range(entries):
        tag, _, count = struct.unpack(f'{order}HH{offset}', file.read(4 + room))
        value = file.read(room)
        if tag == 258:
            if 2 * count <= room:
                return struct.unpack(f'{order}H', value[:2])[0]
            file.seek(struct.unpack(order + offset, value)[0])
            return struct.unpack(f'{order}H', file.read(2))[0]
    return 8
