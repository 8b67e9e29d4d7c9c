"""Images larger than memory: opened by their header, read where a chip or a view lies.

Shapes: H, W: height, width of a window in image pixels.
"""

from __future__ import annotations

import math
import struct
from logging import WARNING
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from PIL.JpegImagePlugin import JpegImageFile

from .image_files import UnreadableImageError, check_depth, load_checked, unreadable
from .tiff import Level, read_levels, read_window

Window = tuple[int, int, int, int]

# From so many pixels on, decoding a whole image for a chip is worth a word.
LARGE = 50_000_000
CONVERT = 'vips tiffsave IMAGE IMAGE.tif --tile --pyramid --bigtiff --compression deflate'
# What libjpeg reduces by itself; and from which EXIF orientation on sides are swapped.
JPEG_REDUCTIONS = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
EXIF_ORIENTATION, UPRIGHT, SWAPPED = 274, 1, 5
# Reducing goes through the file in bands of so many rows, unless they would have more pixels than that.
ROWS, BAND_PIXELS = 512, 2**25

_said: set[str] = set()


class LargeImage:
    """An image file that is read window by window; what it gives follows from file, window and size alone.

    A TIFF in tiles or strips is read there only, by tifffile. A JPEG is decoded whole where its pixels are asked for,
    at a half, a quarter or an eighth of its size where these do. Every other file is decoded whole, once per handle.
    Decoded wholes stay in memory as long as the handle. It keeps no file open; a copy by pickle opens it anew.

    Attributes:
        path: Of the file.
        size: (width, height), as mmcv's ``LoadImageFromFile`` would give it.
        nbytes: Bytes of decoded pixels that the handle keeps at most; 0 if it is read in windows.

    Args:
        path: A file of this machine. Only its header is read, if it is a TIFF or JPEG.

    Raises:
        UnreadableImageError: If it is no image.
        DeepImageError: If it has more than 8 bits per channel.
        ImportError: If it is a TIFF, and tifffile or, for its compression, imagecodecs is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._levels: dict[int, Level] = {}
        self._factors = [1]  # by which its format reduces it
        self._held: dict[int, np.ndarray] = {}
        try:
            self.size = self._open()
        except OSError as error:
            raise unreadable(path, error) from error
        sides = [self._size_at(factor) for factor in self._factors]
        self.nbytes = 0 if self._levels else sum(3 * width * height for width, height in sides)

    def _open(self) -> tuple[int, int]:
        with Path(self.path).open('rb') as file:
            head = file.read(2)
        check_depth(LoadImageFromFile(), self.path)
        if head == b'\xff\xd8':
            try:
                with JpegImageFile(self.path) as image:  # not Image.open, which refuses large images
                    size, orientation = image.size, image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
            except (SyntaxError, ValueError, IndexError, struct.error):
                return self._whole().shape[1::-1]
            if orientation == UPRIGHT:
                self._factors = [1, *JPEG_REDUCTIONS]
            return size[::-1] if SWAPPED <= orientation <= 8 else size
        if head in (b'II', b'MM') and (levels := read_levels(self.path)):
            self._levels, self._factors = levels, list(levels)
            return levels[1].size
        return self._whole().shape[1::-1]

    def read(self, window: Window, size: tuple[int, int]) -> np.ndarray:
        """A window, with enough pixels to be resized to `size`.

        Where the zoom is above 1/4 these are the window's own pixels, and so they are in files that cannot be reduced.
        Elsewhere they are of `size` exactly: reduced by a power of two, every pixel the mean of a block, so far that
        1/4 to 1/2 is left to zoom, and then resized bilinearly.

        Args:
            window: x1, y1, x2, y2, whole pixels of the image, inside it.
            size: (width, height) that the window is to have in the end, in network pixels.

        Returns:
            (H, W, 3) or (height, width, 3) uint8, BGR.

        Raises:
            ValueError: If the window is empty, or not inside.
            UnreadableImageError: If that part of the file is damaged.
        """
        x1, y1, x2, y2 = window = tuple(int(edge) for edge in window)
        if not (0 <= x1 < x2 <= self.size[0] and 0 <= y1 < y2 <= self.size[1]):
            raise ValueError(f'{self.path}: {window} is no window of {self.size[0]} x {self.size[1]} pixels')
        reducible = self._levels or len(self._factors) > 1
        reduction = reduction_for(max(size[0] / (x2 - x1), size[1] / (y2 - y1))) if reducible else 1
        try:
            return self._crop(1, window) if reduction == 1 else self._reduced(reduction, window, size)
        except UnreadableImageError:
            raise
        except (OSError, ValueError, cv2.error) as error:
            raise unreadable(self.path, error) from error

    def _reduced(self, reduction: int, window: Window, size: tuple[int, int]) -> np.ndarray:
        """The window in `size`, from blocks that begin at multiples of `reduction`, wherever the window does."""
        x1, y1, x2, y2 = window
        blocks = x1 // reduction, y1 // reduction, -(-x2 // reduction), -(-y2 // reduction)
        small = self._blocks(reduction, blocks)
        # Pixel n of the result is centred at (n + 0.5) * step from the window's edge, and block m at m + 0.5.
        steps = (x2 - x1) / reduction / size[0], (y2 - y1) / reduction / size[1]
        starts = x1 / reduction - blocks[0], y1 / reduction - blocks[1]
        first = [start + step / 2 - 0.5 for start, step in zip(starts, steps, strict=True)]
        affine = np.array([[steps[0], 0, first[0]], [0, steps[1], first[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(small, affine, tuple(size), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _blocks(self, reduction: int, blocks: Window) -> np.ndarray:
        """Means of blocks of `reduction` x `reduction` pixels; `blocks` counts them, from the image's first."""
        a1, b1, a2, b2 = blocks
        given = max(factor for factor in self._factors if reduction % factor == 0)
        rest = reduction // given
        if rest == 1:
            return self._crop(given, blocks)
        small = np.empty((b2 - b1, a2 - a1, 3), np.uint8)
        rows = max(min(ROWS, BAND_PIXELS // ((a2 - a1) * rest)) // rest, 1) * rest
        for top in range(b1 * rest // rows * rows, b2 * rest, rows):
            y1, y2 = max(top, b1 * rest), min(top + rows, b2 * rest)
            band = self._crop(given, (a1 * rest, y1, a2 * rest, y2))
            size = a2 - a1, (y2 - y1) // rest
            first = y1 // rest - b1
            small[first : first + size[1]] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)
        return small

    def _size_at(self, factor: int) -> tuple[int, int]:
        """(width, height) of the image reduced by what the format itself gives."""
        if self._levels:
            return self._levels[factor].size
        return -(-self.size[0] // factor), -(-self.size[1] // factor)

    def _crop(self, factor: int, window: Window) -> np.ndarray:
        """What the format gives, reduced by `factor`; `window` counts its pixels, and may go on beyond its border."""
        width, height = self._size_at(factor)
        x1, y1, x2, y2 = window
        inside = min(x1, width - 1), min(y1, height - 1), min(x2, width), min(y2, height)
        if self._levels:
            pixels = read_window(self.path, self._levels[factor], inside)
        else:
            pixels = self._whole(factor)[inside[1] : inside[3], inside[0] : inside[2]]
        missing = y2 - y1 - pixels.shape[0], x2 - x1 - pixels.shape[1]
        if any(missing):  # blocks that the image's border cuts
            pixels = cv2.copyMakeBorder(pixels, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        return pixels

    def _whole(self, factor: int = 1) -> np.ndarray:
        if factor not in self._held:
            if factor == 1:
                pixels = load_checked(LoadImageFromFile(), dict(img_path=self.path), self.path)['img']
                _say_if_large(self.path, pixels)
            else:
                pixels = cv2.imdecode(np.fromfile(self.path, np.uint8), JPEG_REDUCTIONS[factor])
            if pixels is None or (hasattr(self, 'size') and pixels.shape[1::-1] != self._size_at(factor)):
                raise ValueError('it is damaged, or has another size than its header says')
            self._held[factor] = pixels
        return self._held[factor]

    def __reduce__(self) -> tuple:
        return type(self), (self.path,)

    def __deepcopy__(self, memo: dict) -> LargeImage:
        # Nothing that is asked of it changes what it gives, and a copy would decode anew.
        return self

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.path!r})'


def reduction_for(zoom: float) -> int:
    """By which power of two pixels are reduced before they are zoomed, so that a zoom of 1/2 or less is left; or 1.

    Args:
        zoom: Network pixels per image pixel.
    """
    # What is asked for in whole network pixels may be a little more than the zoom that was meant.
    return 2 ** max(math.floor(math.log2(1.01 / (2 * zoom))), 0)


def _say_if_large(path: str, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    if width * height > LARGE and 'whole' not in _said:
        _said.add('whole')
        print_log(
            f'{path}, {width} x {height} px: is decoded whole, {pixels.nbytes / 1e9:.1f} GB, since it cannot be read '
            f'in windows; to read only what is needed, write it as a tiled TIFF: {CONVERT}. This is said of the '
            'first such image only',
            'current',
            WARNING,
        )
