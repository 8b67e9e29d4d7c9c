"""FocusPixels and FocusChips: where a finer scale is worth a look (AutoFocus, sec. 3).

Shapes: M objects, (h, w) cells of a feature map, K chips.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiled import compiled
from .planner import ImageSize

# Objects between these sizes, sqrt(area) in network pixels, are too small for their scale, and are to be looked at in a
# finer one; up to the last it does not matter. Smaller ones than the first no scale can help.
TINY, SMALL, MEDIUM = 5.0, 64.0, 90.0
# What a cell is to be taught: nothing small in it, something small, or nothing at all.
EMPTY, FOCUS, EITHER = 0, 1, 255


def focus_targets(bboxes: ArrayLike, sizes: ArrayLike, shape: tuple[int, int], stride: float) -> NDArray[np.int64]:
    """What the cells of a feature map are taught: whether they show something that a finer scale would show better.

    Args:
        bboxes: (M, 4) xyxy, chip frame.
        sizes: (M,) sqrt(area) of the objects, network pixels, of the whole objects where the chip cuts them. With a
            size of 0 a box is a region where nothing is taught.
        shape: (h, w) of the feature map.
        stride: Network pixels per cell.

    Returns:
        (h, w) int64: ``FOCUS`` where a cell shares pixels with an object of more than 5 and less than 64 px, else
        ``EITHER`` where it does with one of at most 5 px, or of 64 to 90 px, else ``EMPTY``.
    """
    targets = np.full(shape, EMPTY, np.int64)
    bboxes = np.asarray(bboxes, np.float64).reshape(-1, 4)
    _paint(targets, bboxes / stride, np.asarray(sizes, np.float64), TINY, SMALL, MEDIUM)
    return targets


def focus_chips(
    probabilities: ArrayLike,
    threshold: float,
    dilate: int,
    min_size: float,
    stride: tuple[float, float],
    image_size: ImageSize,
    spare: float = 0.0,
) -> NDArray[np.int64]:
    """Windows around all cells of a feature map that deserve a finer look.

    Cells over the threshold are dilated; every connected part of them, diagonals included, is enclosed in a box, which
    grows to the least size, if the image has it. Two boxes become the one that encloses them where it shows no more
    pixels than they do apart. The paper encloses all that overlap: one touches the next, and half of an image with
    little in it is looked at. If chips have as many pixels together as the whole image, it is the chip.

    Args:
        probabilities: (h, w), per cell, that it shows something small.
        threshold: Cells above count, in (0, 1).
        dilate: Side of the square, in cells, by which they are dilated; odd, 1 = not at all.
        min_size: Least side of a chip, image pixels.
        stride: Image pixels per cell, along x and y. The first cell lies in the image's corner.
        image_size: (width, height) of the image. Cells beyond it are padding and do not count.
        spare: Two boxes become one, too, where it shows at most so many more pixels of the image: another chip would
            take longer.

    Returns:
        (K, 4) xyxy, whole image pixels, inside the image. They may overlap.

    Raises:
        ValueError: If a setting is malformed.
    """
    check_focus(threshold, dilate, min_size)
    boxes = focus_boxes(probabilities, threshold, dilate, stride, image_size)
    return join_boxes(boxes, min_size, image_size, spare)


def focus_boxes(
    probabilities: ArrayLike, threshold: float, dilate: int, stride: tuple[float, float], image_size: ImageSize
) -> NDArray[np.int64]:
    """Boxes around the parts of what is over the threshold, (K, 4), as they are; see :func:`focus_chips`."""
    width, height = image_size
    columns, rows = math.ceil(width / stride[0]), math.ceil(height / stride[1])
    marked = (np.asarray(probabilities)[:rows, :columns] > threshold).astype(np.uint8)
    dilated = cv2.dilate(marked, np.ones((dilate, dilate), np.uint8))
    _, _, parts, _ = cv2.connectedComponentsWithStats(dilated, connectivity=8)
    first, extent = parts[1:, :2].astype(np.float64), parts[1:, 2:4]  # the first part is what is not marked
    boxes = np.concatenate([np.floor(first * stride), np.ceil((first + extent) * stride)], axis=1).astype(np.int64)
    return np.minimum(boxes, [width, height, width, height])


def join_boxes(
    boxes: NDArray[np.int64], min_size: float, image_size: ImageSize, spare: float = 0.0
) -> NDArray[np.int64]:
    """Boxes (K, 4) of one or of several maps, image pixels, grown and joined; see :func:`focus_chips`."""
    limits = np.array(image_size, np.int64)
    first, last = boxes[:, :2], boxes[:, 2:]
    side = np.maximum(last - first, np.minimum(math.ceil(min_size), limits))
    first = np.clip(first - (side - (last - first)) // 2, 0, limits - side)
    chips = merged(np.concatenate([first, first + side], axis=1), spare)
    shown = (chips[:, 2:] - chips[:, :2]).prod(axis=1).sum()
    return chips if shown < limits.prod() else np.array([[0, 0, *image_size]])


def check_focus(threshold: float, dilate: int, min_size: float) -> None:
    """Try the settings of :func:`focus_chips`.

    Raises:
        ValueError: If one is malformed.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
        raise ValueError(f'threshold is a probability, in (0, 1); got {threshold!r}')
    if isinstance(dilate, bool) or not isinstance(dilate, int) or dilate < 1 or dilate % 2 == 0:
        raise ValueError(f'dilate is the side of a square of cells, an odd whole number >= 1; got {dilate!r}')
    if isinstance(min_size, bool) or not isinstance(min_size, (int, float)) or not 0 < min_size < math.inf:
        raise ValueError(f'min_size is the least side of a chip in pixels, more than 0; got {min_size!r}')


@compiled
def merged(boxes: NDArray, spare: float) -> NDArray:
    """Two boxes at a time enclosed in one that has no more area than they have apart, until there are none such.

    Args:
        boxes: (K, 4) int64 xyxy.
        spare: Or so much more, at most.

    Returns:
        (K', 4), not more.
    """
    boxes = boxes.copy()
    n = len(boxes)
    changed = True
    while changed:
        changed = False
        i = 0
        while i < n:
            j = i + 1
            while j < n:
                x1, y1 = min(boxes[i, 0], boxes[j, 0]), min(boxes[i, 1], boxes[j, 1])
                x2, y2 = max(boxes[i, 2], boxes[j, 2]), max(boxes[i, 3], boxes[j, 3])
                apart = (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])
                apart += (boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])
                if (x2 - x1) * (y2 - y1) <= apart + spare:
                    boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x1, y1, x2, y2
                    n -= 1
                    boxes[j] = boxes[n]
                    changed = True  # it is larger now: what did not join it may
                else:
                    j += 1
            i += 1
    return boxes[:n]


@compiled
def _paint(targets: NDArray, boxes: NDArray, sizes: NDArray, tiny: float, small: float, medium: float) -> None:
    """Write the targets of boxes given in cells."""
    rows, columns = targets.shape
    for m in range(len(boxes)):
        if sizes[m] > medium:
            continue
        learnt = tiny < sizes[m] < small
        x1, y1 = max(int(np.floor(boxes[m, 0])), 0), max(int(np.floor(boxes[m, 1])), 0)
        x2, y2 = min(int(np.ceil(boxes[m, 2])), columns), min(int(np.ceil(boxes[m, 3])), rows)
        for y in range(y1, y2):
            for x in range(x1, x2):
                if learnt:
                    targets[y, x] = FOCUS
                elif targets[y, x] == EMPTY:
                    targets[y, x] = EITHER
