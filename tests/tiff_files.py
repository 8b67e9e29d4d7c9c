"""Writes TIFF files for tests."""

from pathlib import Path

import cv2
import numpy as np
import tifffile


def write_tiff(
    path: Path, image: np.ndarray, tile: int | None = 256, *copies: np.ndarray, **options: object
) -> np.ndarray:
    """Write a TIFF, by default in deflated tiles; what OpenCV makes of the file.

    Args:
        path: Where.
        image: (H, W) or (H, W, C) uint8; of three or four channels, BGR comes first.
        tile: Side of a tile, a multiple of 16; None for strips.
        *copies: Reduced images, written as SubIFDs.
        **options: As for ``tifffile.imwrite``.
    """
    image, *copies = (one.squeeze(2) if one.ndim == 3 and one.shape[2] == 1 else one for one in (image, *copies))
    options = dict(compression='zlib', photometric='minisblack' if image.ndim == 2 else 'rgb') | options
    options |= dict(tile=(tile, tile)) if tile else {}
    order = [2, 1, 0, 3]
    with tifffile.TiffWriter(
        path, bigtiff=options.pop('bigtiff', False), byteorder=options.pop('byteorder', None)
    ) as file:
        for n, one in enumerate((image, *copies)):
            more = dict(subifds=len(copies)) if n == 0 else dict(subfiletype=1)
            file.write(one if one.ndim == 2 else one[..., order[: one.shape[2]]], **options, **more, metadata=None)
    found = cv2.imread(str(path))
    assert found is not None and found.shape[:2] == image.shape[:2]
    return found
