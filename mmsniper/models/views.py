"""Views: what a detector is shown of an image at test time, scale by scale and tile by tile.

Shapes: P detections. The *view frame* is network pixels of one view.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..chips.scales import Scale, scale_factor
from ..chips.tiles import tile_origins
from ..large_images import LargeImage
from .padding import STRIDES

# A detection this close to the border of a tile, in network pixels, may be a part of something that goes on.
BORDER = 4
# Proposals, RoIs and NMS of a view take as long as so many network pixels, with the demo's detector on a CPU.
VIEW_COST = 256**2
# The overlap of tiles allows for objects this many times longer than the square root of their area: four times as long
# as wide.
ELONGATION = 2


class View(NamedTuple):
    """One rectangle of one image at one zoom.

    Attributes:
        image_idx: Which image of the batch.
        scale_idx: Index into the scales.
        window: x1, y1, x2, y2, whole pixels of the image frame.
        shape: (height, width) in network pixels.
        overlap: What neighbouring tiles share along x and y, in image pixels; 0 where the view spans the image.
        flip: Mirrored left to right.
        chip: x1, y1, x2, y2 of the FocusChip that the view shows or is a tile of; None = of the whole image.
        least: (height, width) in network pixels that it is padded to if it is smaller.
    """

    image_idx: int
    scale_idx: int
    window: tuple[int, int, int, int]
    shape: tuple[int, int]
    overlap: tuple[int, int] = (0, 0)
    flip: bool = False
    chip: tuple[int, int, int, int] | None = None
    least: tuple[int, int] = (0, 0)

    @property
    def zoom(self) -> tuple[float, float]:
        """Network pixels per image pixel, along x and y."""
        x1, y1, x2, y2 = self.window
        return self.shape[1] / (x2 - x1), self.shape[0] / (y2 - y1)

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) in network pixels, padding included."""
        return max(self.shape[0], self.least[0]), max(self.shape[1], self.least[1])

    @property
    def cost(self) -> int:
        """What it takes to look at it, as network pixels: padded to strides, and what a view takes of any size."""
        return math.prod(self.canvas(STRIDES)) + VIEW_COST

    def canvas(self, divisor: int) -> tuple[int, int]:
        """(height, width) in network pixels that a preprocessor pads it to, whose sides are multiples of a number."""
        height, width = self.padded
        return math.ceil(height / divisor) * divisor, math.ceil(width / divisor) * divisor

    @property
    def meta(self) -> dict:
        """What a detector is to be told of the view, so that it leaves boxes in the view frame.

        Padding belongs to it, as it does to a chip in training: DETR and its kin tell boxes as shares of the whole.
        """
        height, width = self.padded
        # CenterNet asks for the border that RandomCenterCropPad leaves: where the view begins and ends along y and x.
        border = (0, height, 0, width)
        return dict(ori_shape=self.padded, img_shape=self.padded, scale_factor=(1.0, 1.0), border=border)

    def cut(self, image: Tensor | LargeImage, device: torch.device | None = None) -> Tensor:
        """The view's pixels, as mmdet's ``Resize`` makes them: bilinear, without anti-aliasing.

        Args:
            image: (C, H, W) uint8; or a file, of which only the window is read, and reduced if it is coarse.
            device: Where to cut from a file; a tensor is cut where it is.

        Returns:
            (C, *shape) on that device: uint8 on a CPU, float32 on a GPU.
        """
        x1, y1, x2, y2 = self.window
        if isinstance(image, LargeImage):
            pixels = torch.from_numpy(image.read(self.window, self.shape[::-1]))
            crop = pixels.permute(2, 0, 1)[None].to(device)
        else:
            crop = image[None, :, y1:y2, x1:x2]
        # On a CPU bytes in this layout are resized ten times as fast as numbers; on a GPU there are only numbers.
        crop = crop.contiguous(memory_format=torch.channels_last) if crop.device.type == 'cpu' else crop.float()
        crop = F.interpolate(crop, self.shape, mode='bilinear', align_corners=False)[0]
        # In this layout the preprocessor normalizes faster.
        return (crop.flip(-1) if self.flip else crop).contiguous()

    def to_image(self, bboxes: Tensor) -> Tensor:
        """(P, 4) xyxy from the view frame, un-flipped, into the image frame."""
        x1, y1, x2, y2 = bboxes.unbind(-1)
        if self.flip:
            x1, x2 = self.shape[1] - x2, self.shape[1] - x1
        zoom, corner = bboxes.new_tensor(self.zoom).repeat(2), bboxes.new_tensor(self.window[:2]).repeat(2)
        return torch.stack([x1, y1, x2, y2], -1) / zoom + corner

    def whole(self, bboxes: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Which detections are no part of something that another tile, or a coarser scale, shows whole: (P,) bool.

        Args:
            bboxes: (P, 4) xyxy, image frame.
            image_size: (width, height) of the image.
        """
        keep = bboxes.new_ones(len(bboxes), dtype=bool)
        for axis in range(2):
            low, high = bboxes[:, axis], bboxes[:, axis + 2]
            margin = BORDER / self.zoom[axis]
            first, last = self.window[axis], self.window[axis + 2]
            for border, within, cut in (
                (first, 0, low < first + margin),
                (last, image_size[axis], high > last - margin),
            ):
                if border == within:
                    continue
                # What is longer than the overlap need not be whole in any tile; a part is better than nothing. What
                # goes on beyond a FocusChip the coarser scale has seen.
                at_chip = self.chip is not None and border in (self.chip[axis], self.chip[axis + 2])
                keep &= ~(cut if at_chip else cut & (high - low <= self.overlap[axis] - 2 * margin))
        return keep


def choose_views(
    image_idx: int,
    image_size: tuple[int, int],
    scales: tuple[Scale, ...],
    ranges: list[tuple[float, float]],
    flip: bool,
    max_canvas: int,
    least: int = 0,
) -> list[View]:
    """All views of one image; a canvas with a side beyond `max_canvas` is cut into overlapping tiles along that side.

    Every object of a scale's range that is up to four times as long as wide is whole in one tile, unless that takes
    more than half a tile: then tiles overlap by half, or by the upper end of the range if that is more; by half, too,
    for a range without end. An object longer than the overlap may be whole in no tile; its parts that are longer than
    the overlap are kept, each as a detection.

    Args:
        image_idx: Which image of the batch.
        image_size: (width, height) of the image.
        scales: Zoom factors, or (long edge, short edge) as mmdet's ``Resize`` takes them.
        ranges: Per scale the sizes, sqrt(area) in image pixels, that it answers for.
        flip: Also show every view mirrored.
        max_canvas: Longest side of a view in network pixels.
        least: Network pixels, up to `max_canvas`: no side of a tile is shorter; along a side of the canvas that is,
            views are padded to it.

    Raises:
        ValueError: If no tile could hold the largest objects of a scale.
    """
    return [
        view
        for scale_idx, (scale, size_range) in enumerate(zip(scales, ranges, strict=True))
        for view in scale_views(image_idx, image_size, scale_idx, scale, size_range[1], flip, max_canvas, least)
    ]


def scale_views(
    image_idx: int,
    image_size: tuple[int, int],
    scale_idx: int,
    scale: Scale,
    largest: float,
    flip: bool,
    max_canvas: int,
    least: int = 0,
    chip: tuple[int, int, int, int] | None = None,
) -> list[View]:
    """The views of one scale of one image, or of a part of it; further arguments as for :func:`choose_views`.

    Args:
        largest: Upper end of the scale's range.
        chip: x1, y1, x2, y2 of the part; None = all.
    """
    zoom = scale_factor(scale, *image_size)
    left, top, right, bottom = chip or (0, 0, *image_size)
    height, width = (least if side * zoom < least <= max_canvas else 0 for side in reversed(image_size))
    views = []
    for y1, y2, h, overlap_y in _spans(bottom - top, zoom, largest, max_canvas, least):
        for x1, x2, w, overlap_x in _spans(right - left, zoom, largest, max_canvas, least):
            for mirrored in (False, True)[: 1 + flip]:
                window = (left + x1, top + y1, left + x2, top + y2)
                overlap = overlap_x, overlap_y
                views.append(View(image_idx, scale_idx, window, (h, w), overlap, mirrored, chip, (height, width)))
    return views


def batches(views: Sequence[View], most_pixels: int, divisor: int) -> Iterator[list[View]]:
    """Views that go through the network together: those that the preprocessor pads to one shape anyway.

    So no detection depends on what else a batch holds.

    Args:
        views: Of any images and scales.
        most_pixels: Network pixels of a batch, padding included; a view may be larger.
        divisor: Of what the preprocessor pads sides to.
    """
    alike: dict[tuple[int, int], list[View]] = {}
    for view in views:
        alike.setdefault(view.canvas(divisor), []).append(view)
    for shape, group in sorted(alike.items()):
        n = max(most_pixels // math.prod(shape), 1)
        yield from (group[first : first + n] for first in range(0, len(group), n))


def _spans(length: int, zoom: float, largest: float, max_canvas: int, least: int) -> list[tuple[int, int, int, int]]:
    """(first, last, network pixels, overlap) of the views along one axis of the image."""
    canvas = max(int(length * zoom + 0.5), 1)  # as mmcv rounds
    if canvas <= max_canvas:
        return [(0, length, canvas, 0)]
    side = max(int(max_canvas / zoom), 1)
    margin = math.ceil(2 * BORDER / zoom)
    overlap = side // 2
    if largest < math.inf:
        needed, wanted = math.ceil(largest) + margin, math.ceil(ELONGATION * largest) + margin
        overlap = min(max(overlap, needed), wanted)
    if overlap >= side:
        raise ValueError(
            f'max_canvas={max_canvas} is {side} image pixels at zoom {zoom:.3g}, too small for objects of up to '
            f'{largest:g} image pixels: raise max_canvas, or lower the range or the scale'
        )
    # As small as so many tiles may be: what is seen twice takes time and gains nothing. Never smaller than a chip:
    # DETR and its kin rely on it.
    n_tiles = len(tile_origins(length, side, overlap))
    side = min(side, max(math.ceil((length + (n_tiles - 1) * overlap) / n_tiles), math.ceil(least / zoom)))
    origins = tile_origins(length, side, overlap)
    return [(int(first), int(first) + side, min(max(round(side * zoom), 1), max_canvas), overlap) for first in origins]
