"""What can be wrong with one record of a COCO file: an image, a category, an annotation, a segmentation.

Those named after a fault return None, or the fault as (what is wrong, what to do), worded for "N annotations ...".
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

Fault = tuple[str, str]

# Nobody has an image or a box beyond these; numbers that large are a mistake of units or of the writer.
LARGEST_SIDE, LARGEST_COORDINATE = 10**5, 10**6


def is_id(value: Any) -> bool:
    """Whether a value can tell records apart: a whole number or text."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return type(value) is int or (type(value) is float and isfinite(value))


def name_of(kind: str, n: int, record: Any, image: dict | None = None) -> str:
    """What messages call record `n` of a list, `kind`; an annotation with its image, if there is one."""
    number = record.get('id') if isinstance(record, dict) else None
    name = f'number {n} in the list' if number is None else f'id {number!r}'
    of = record.get('file_name', '') if kind == 'images' and isinstance(record, dict) else ''
    if image is not None:
        of = f'of image {image.get("file_name", image["id"])}'
    return f'{name} {of}'.strip()


def other_type(value: Any) -> Any:
    """An id as text instead of a number, or the other way round; None if it is no number."""
    if not isinstance(value, str):
        return str(value)
    return int(value) if value.lstrip('-').isdecimal() else None


def image_fault(image: Any) -> Fault | None:
    """Of an entry of ``images``."""
    if not isinstance(image, dict):
        return 'are no objects', 'write {"id": ..., "file_name": ..., "width": ..., "height": ...}'
    file_name = image.get('file_name', image.get('coco_url'))  # LVIS names files by their URL
    if missing := [key for key in ('id', 'width', 'height') if key not in image] + ['file_name'] * (file_name is None):
        return f'have no {" and no ".join(missing)}', 'add it; width and height are those of the file, in pixels'
    if not is_id(image['id']):
        return 'have an id that is neither a whole number nor text', 'number them'
    if not isinstance(file_name, str) or not file_name:
        return 'have a file_name that is no text', 'write the path of the file below data_prefix'
    sides = image['width'], image['height']
    if not all(is_number(side) and side >= 1 and side == int(side) for side in sides):
        return 'have a width or height that is no whole number of pixels', 'write the size of the file, without quotes'
    if max(sides) > LARGEST_SIDE:
        return f'have a side beyond {LARGEST_SIDE} pixels', 'correct width and height, or cut the image into tiles'
    return None


def category_fault(category: Any) -> Fault | None:
    """Of an entry of ``categories``."""
    if not isinstance(category, dict) or 'id' not in category or 'name' not in category:
        return 'are no objects with an id and a name', 'write {"id": 1, "name": "cat"}'
    if not is_id(category['id']) or not isinstance(category['name'], str) or not category['name']:
        return 'have an id that is neither a whole number nor text, or a name that is no text', 'correct them'
    return None


def annotation_fault(annotation: Any) -> Fault | None:
    """Of an entry of ``annotations``, as far as it can be told without its image."""
    if not isinstance(annotation, dict):
        return 'are no objects', 'write {"id": ..., "image_id": ..., "category_id": ..., "bbox": [x, y, w, h], ...}'
    try:
        ids, bbox = (annotation['id'], annotation['image_id'], annotation['category_id']), annotation['bbox']
    except KeyError as error:
        return f'have no {error.args[0]}', 'add it, or remove them'
    if not {*map(type, ids)} <= {int, str} and not all(map(is_id, ids)):
        return 'have an id, image_id or category_id that is neither a whole number nor text', 'correct or remove them'
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4 or not {*map(type, bbox)} <= {int, float}:
        return 'have a bbox that is not four numbers', 'write [x, y, width, height] in pixels, or remove them'
    x, y, width, height = map(abs, bbox)
    largest = LARGEST_COORDINATE
    if not (x <= largest and y <= largest and width <= largest and height <= largest):  # nan is not
        if not all(map(is_number, bbox)):
            return 'have a box that is not finite', 'correct or remove them'
        return f'have a box with a number beyond {LARGEST_COORDINATE}', 'write pixels, or remove them'
    area = annotation.get('area')
    if area is not None and not is_number(area):
        return 'have an area that is no number', 'write that of the object in pixels, without quotes'
    for key in ('iscrowd', 'ignore'):
        value = annotation.get(key)
        if value is not None and (not isinstance(value, (bool, int, float)) or value not in (0, 1)):
            return f'have an {key} that is neither 0 nor 1', f'write "{key}": 0 or "{key}": 1, without quotes'
    return None


def segmentation_fault(segmentation: Any, width: int, height: int) -> Fault | None:
    """Of an annotation's ``segmentation`` in an image of a size; an empty one is none."""
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _rle_fault(segmentation, width, height)
    if not isinstance(segmentation, list):
        return 'have a segmentation that is neither polygons nor RLE', 'write [[x, y, x, y, ...], ...], or remove it'
    if type(segmentation[0]) in (int, float):
        return (
            'have one flat list of numbers as segmentation',
            'put it into a list, as COCO has it: [[x, y, x, y, ...]]',
        )
    for polygon in segmentation:
        if not isinstance(polygon, list) or not {*map(type, polygon)} <= {int, float}:
            return 'have a polygon that is no list of numbers', 'write [[x, y, x, y, ...], ...], or remove it'
        if not _is_bounded(polygon):
            return 'have a polygon with a number that is not finite, or too large', 'correct or remove it'
    return None


def reason_to_drop(annotation: dict, image: dict, used: set) -> str | None:
    """Why mmdet's CocoDataset leaves an annotation without fault out, or None.

    Args:
        annotation: With ``area``.
        image: Its image.
        used: Ids of the categories that are taught.
    """
    if annotation.get('ignore'):
        return 'marked "ignore"'
    if annotation['category_id'] not in used:
        return "their category is not in the data set's classes"
    x, y, width, height = annotation['bbox']
    if width < 1 or height < 1 or annotation['area'] <= 0:
        return 'a side under 1 px or no area'
    if min(x + width, image['width']) <= max(x, 0) or min(y + height, image['height']) <= max(y, 0):
        return 'the box lies outside its image'
    return None


def is_usable_polygon(polygon: list) -> bool:
    """Whether mmdet keeps a polygon: it has three points or more."""
    return len(polygon) >= 6 and len(polygon) % 2 == 0


def is_panoptic(annotations: list) -> bool:
    """Whether annotations are of whole images, as COCO's panoptic ones."""
    return bool(annotations) and isinstance(annotations[0], dict) and 'segments_info' in annotations[0]


def looks_like_results(content: Any) -> bool:
    """Whether the content of a file is a detector's results."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and 'image_id' in content[0]


def rle_runs(counts: Any) -> np.ndarray | None:
    """Lengths of the runs of an RLE's ``counts``, (R,) int64; None if they are neither text nor whole numbers."""
    if isinstance(counts, bytes):
        counts = counts.decode('utf-8', 'replace')
    if isinstance(counts, str):
        return _decoded_runs(counts)
    if isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts):
        return np.array(counts, np.int64)
    return None


def _is_bounded(numbers: list) -> bool:
    """Whether all are finite, and none is huge: as a sum, which is faster than one by one."""
    try:
        return sum(map(abs, numbers)) <= LARGEST_COORDINATE * len(numbers)
    except OverflowError:  # a whole number too large for a float
        return False


def _rle_fault(rle: dict, width: int, height: int) -> Fault | None:
    # pycocotools reads what is not there if the counts are too few, and writes where it must not if they are too many.
    size, counts = rle.get('size'), rle.get('counts')
    if not isinstance(size, list) or size != [height, width]:
        return 'have an RLE of another size than their image', 'write "size": [height, width] and counts for it'
    remedy = 'encode the mask again, for example by pycocotools.mask.encode'
    runs = rle_runs(counts)
    if runs is None and not isinstance(counts, str):
        return 'have an RLE with counts that are neither text nor whole numbers', remedy
    if runs is None or (runs < 0).any() or runs.sum() != width * height:
        return 'have an RLE whose counts do not add up to the pixels of their image', remedy
    return None


def _decoded_runs(counts: str) -> np.ndarray | None:
    """Lengths of the runs that COCO's compressed RLE stands for; None if it is none.

    A number is its 5-bit groups, lowest first, each plus 32 if another follows, all plus 48; the sign is the last
    group's highest bit. From the fourth on, a number is the difference to the one before the last.
    """
    codes = np.frombuffer(counts.encode('utf-8', 'replace'), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    last = (codes & 32) == 0
    first = np.flatnonzero(np.append(True, last[:-1]))
    place = np.arange(len(codes)) - np.repeat(first, np.diff(np.append(first, len(codes))))
    if place.max() > 6:
        return None
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    values -= np.where(codes[last] & 16, 1 << (5 * (place[last] + 1)), 0)
    for start in (1, 2):
        values[start::2] = np.cumsum(values[start::2])
    return values
