"""CocoFile: a COCO annotation file, read once and checked before mmdet parses it.

mmdet numbers categories by their order in the file, whatever ``classes`` says, drops what it cannot use without a word,
and hands the rest to pycocotools, which some of it crashes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from logging import WARNING
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from .coco_records import (
    annotation_fault,
    category_fault,
    image_fault,
    is_id,
    is_panoptic,
    is_usable_polygon,
    looks_like_results,
    name_of,
    other_type,
    reason_to_drop,
    segmentation_fault,
)
from .coco_units import wrong_units
from .ignored_regions import as_region, ignored_ids
from .reports import progress
from .xml_names import check_is_tuple

SHOWN = 5  # records named per message
LARGE_FILE = 50_000_000  # bytes that take seconds to read


class CocoFile:
    """What a file holds, and what is wrong with it.

    Args:
        path: Where the file is read.
        name: What messages call it.
        with_masks: Objects need a segmentation; with 'polygons', one that is no RLE; with 'evaluated', for COCO's
            evaluation.
        evaluated: COCO's evaluation reads the file, too, and wants ``area`` and ``iscrowd``, which are otherwise added.
        completed: What is added is used, and therefore said.

    Attributes:
        content: The file, with what was added.
        category_names: Names by id, once it is checked.
        n_images: Images that it lists.

    Raises:
        ValueError: If it is no COCO file.
    """

    def __init__(
        self, path: str, name: str, with_masks: bool | str = False, evaluated: bool = False, completed: bool = True
    ) -> None:
        self.name = name
        self.with_masks = with_masks
        self.evaluated = evaluated
        self.completed = completed
        self.category_names: dict[int | str, str] = {}
        self.faults: dict[tuple[str, str, str], list[str]] = {}
        self.notes: dict[str, list[Any]] = {}
        self.content = self._read(path)
        self.n_images = len(self.content['images'])

    def check(self, classes: Sequence[str] | None, ignored: Sequence[str] = ()) -> None:
        """Look at every record; say once what is added or left out.

        Args:
            classes: Names that the data set teaches, in the order of its labels; None = not to be checked.
            ignored: Names of categories whose annotations become crowds, see :mod:`.ignored_regions`.

        Raises:
            ValueError: If anything is wrong: all of it, each with the records and what to do.
        """
        self._check_all('images', image_fault)
        self._check_all('categories', category_fault)
        self._refuse()  # what follows looks them up
        self.images = {image['id']: image for image in self.content['images']}
        self._check_one_type('images')
        self._check_one_type('categories')
        self._check_twice('images', 'id', 'give each image an id of its own')
        self._check_twice('categories', 'id', 'give each category an id of its own')
        self._check_twice('categories', 'name', 'join them into one, or name them apart')
        self._refuse()
        self.category_names = {category['id']: category['name'] for category in self.content['categories']}
        if classes is not None:
            self._check_classes(classes)
        self._note_repeated_files()
        if not self.content['annotations']:
            text = f'its list of annotations is empty: its {self.n_images} images are nothing but background'
            print_log(f'{self.name}: {text}', 'current', WARNING)
        elif not is_panoptic(self.content['annotations']):
            self._check_annotations(classes, ignored_ids(ignored, classes or (), self.content['categories'], self.name))
        self._refuse()
        self._report()

    def _read(self, path: str) -> dict:
        if (size := os.path.getsize(path)) > LARGE_FILE:
            print_log(f'Reading {self.name}, {size / 1e6:.0f} MB', 'current')
        try:
            with open(path, encoding='utf-8') as file:
                content = json.load(file)
        except (ValueError, RecursionError) as error:  # neither JSON nor text
            empty = f': {error}' if Path(path).read_bytes().strip() else ': it is empty'
            raise ValueError(f'{self.name} is no JSON file{empty}; write it again') from error
        if not isinstance(content, dict):
            what = 'results of a detector' if looks_like_results(content) else f'a {type(content).__name__}'
            raise ValueError(
                f'{self.name} holds {what}, not COCO annotations; write an object with "images", '
                '"annotations" and "categories"'
            )
        if self.evaluated and 'annotations' not in content:  # COCO's test-dev, to format results for
            content['annotations'] = []
            print_log(f'{self.name} has no annotations: results can be written, but not evaluated', 'current', WARNING)
        for key in ('images', 'annotations', 'categories'):
            if not isinstance(content.get(key), list):
                raise ValueError(f'{self.name} has no list of {key}; add "{key}": [...]')
            if not content[key] and key != 'annotations':
                raise ValueError(f'{self.name} has no {key}: the list is empty; add some, or name another file')
        return content

    def _check_all(self, kind: str, fault_of: Callable[[Any], tuple[str, str] | None]) -> None:
        for n, record in enumerate(self.content[kind]):
            if fault := fault_of(record):
                self._fault(kind, *fault, name_of(kind, n, record))

    def _check_twice(self, kind: str, key: str, remedy: str) -> None:
        seen = set()
        for record in self.content[kind]:
            if record[key] in seen:
                self._fault(kind, f'have the {key} of another one', remedy, f'{key} {record[key]!r}')
            seen.add(record[key])

    def _check_one_type(self, kind: str) -> None:
        """Ids that are text among numbers, which nobody can sort."""
        text = [record for record in self.content[kind] if isinstance(record['id'], str)]
        if len(text) < len(self.content[kind]):
            for record in text:
                self._fault(
                    kind, 'have text as id, others a number', 'write numbers, without quotes', f'id {record["id"]!r}'
                )

    def _check_classes(self, classes: Sequence[str]) -> None:
        names = [category['name'] for category in self.content['categories']]
        write = f'metainfo=dict(classes={_as_tuple(name for name in names if name in classes)})'
        check_is_tuple(classes, names, self.name)
        if not classes:
            raise ValueError(f"metainfo's classes are empty; {self.name} has classes={_as_tuple(names)}")
        if len(set(classes)) < len(classes):
            twice = sorted({name for name in classes if list(classes).count(name) > 1})
            raise ValueError(
                f"metainfo's classes list {', '.join(twice)} more than once; each is one label: write {write}"
            )
        if missing := [name for name in classes if name not in names]:
            near = {name: get_close_matches(name, names, 1, 0.6) for name in missing[:SHOWN]}
            said = ', '.join(f'{name!r}' + (f' (is it {near[name][0]!r}?)' if near[name] else '') for name in near)
            more = f' and {len(missing) - SHOWN} more' if len(missing) > SHOWN else ''
            raise ValueError(
                f'{self.name} lacks {len(missing)} of the {len(classes)} classes in metainfo: {said}{more}; the labels '
                f"after a missing one would be another class's. Its categories are {_as_tuple(names)}: write those "
                'that you want, in this order, as metainfo=dict(classes=...), in the data sets for validation and '
                'test, too; or add the missing categories to the file'
            )
        if list(classes) != [name for name in names if name in classes]:
            raise ValueError(
                f"{self.name} has its categories in another order than metainfo's classes, and mmdet numbers labels by "
                f'the file: {next(n for n, c in zip(names, classes, strict=False) if n != c)!r} would be taught as '
                f'another class. Write {write}, or put the list of categories in the file into the order of your '
                'classes (their ids may stay)'
            )

    def _check_annotations(self, classes: Sequence[str] | None, ignored: set) -> None:
        if fault := wrong_units(self.content['annotations'], self.images):
            raise ValueError(f'{self.name} cannot be used: its annotations {fault[0]}; {fault[1]}')
        used = {id for id, name in self.category_names.items() if classes is None or name in classes}
        seen = set()
        for n, annotation in enumerate(progress(self.content['annotations'], 'Annotations')):
            fault = annotation_fault(annotation)
            image_id = annotation.get('image_id') if isinstance(annotation, dict) else None
            image = self.images.get(image_id) if is_id(image_id) else None
            if fault is None:
                fault = self._links_fault(annotation, seen)
            if fault is None and image is not None and (self.with_masks or self.evaluated):
                fault = segmentation_fault(annotation.get('segmentation'), image['width'], image['height'])
            if fault is None:
                fault = self._complete(annotation)
            if fault is None and annotation['category_id'] in ignored:
                annotation.update(as_region(annotation, min(used)))  # of whatever class: nobody asks a region's
            if fault is None and image is not None:
                reason = reason_to_drop(annotation, image, used)
                fault = None if reason or not self.with_masks else self._mask_fault(annotation)
                if reason:
                    self._note(f'{{}} annotations left out, {reason}', annotation['id'])
            if fault:
                self._fault('annotations', *fault, name_of('annotations', n, annotation, image))
            elif image is None:
                self._note('{} annotations left out, their image is not in the file', annotation['id'])

    def _links_fault(self, annotation: dict, seen: set) -> tuple[str, str] | None:
        """Of ids: its own, which changes `seen`, and those of its image and category."""
        if annotation['id'] in seen:
            return 'have the id of another one', 'number annotations through, over all images'
        seen.add(annotation['id'])
        for key, known in ('image_id', self.images), ('category_id', self.category_names):
            value = annotation[key]
            if value not in known and other_type(value) in known:
                other = 'text' if isinstance(value, str) else 'a number'
                return f'have {other} as {key}, unlike the id that is meant', 'write both alike, without quotes'
        if annotation['category_id'] not in self.category_names:
            return "have a category_id that is none of the file's categories", 'add the category, or correct them'
        return None

    def _complete(self, annotation: dict) -> tuple[str, str] | None:
        """Add what mmdet and COCO's evaluation want and the box tells, or refuse where the file itself is read."""
        width, height = annotation['bbox'][2:]
        for key, value, meaning in ('area', width * height, 'that of the box'), ('iscrowd', 0, 'no crowd'):
            if annotation.get(key) is None:
                if self.evaluated:
                    return f"have no {key}, which COCO's evaluation needs", f'write "{key}": {value}'
                annotation[key] = value
                if self.completed:
                    self._note(f'{{}} annotations without {key}: taken as {meaning}', annotation['id'])
        return None

    def _mask_fault(self, annotation: dict) -> tuple[str, str] | None:
        """Of an object without the mask that the pipeline wants; a note if mmdet makes it an ignored region."""
        segmentation = annotation.get('segmentation')
        if not segmentation:
            if not annotation['iscrowd']:
                wanted = (
                    "metric 'segm' evaluates masks" if self.with_masks == 'evaluated' else 'the pipeline loads masks'
                )
                return (
                    f'have no segmentation, but {wanted}',
                    'use a detector without a mask head, or add it: a box as polygon is [[x1, y1, x2, y1, x2, y2, x1, '
                    'y2]]',
                )
            return 'are crowds without segmentation, but the pipeline loads masks', 'add the RLE of their region'
        if isinstance(segmentation, dict) and self.with_masks == 'polygons' and not annotation['iscrowd']:
            remedy = "write dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=True)"
            return 'are RLE, and LoadAnnotations(poly2mask=False) makes ignored regions of them', remedy
        if isinstance(segmentation, list):
            usable = sum(map(is_usable_polygon, segmentation))
            if usable < len(segmentation):
                what = 'become ignored regions' if not usable else 'lose them, and keep others'
                self._note(f'{{}} annotations with polygons of less than three points {what}', annotation['id'])
        return None

    def _note_repeated_files(self) -> None:
        seen = set()
        for image in self.content['images']:
            if image.get('file_name', image['id']) in seen:
                self._note(
                    '{} images are listed again with another id; what one entry annotates is background in the other',
                    image['id'],
                )
            seen.add(image.get('file_name', image['id']))

    def _fault(self, kind: str, what: str, remedy: str, record: str) -> None:
        self.faults.setdefault((kind, what, remedy), []).append(record)

    def _note(self, text: str, record: Any) -> None:
        self.notes.setdefault(text, []).append(record)

    def _refuse(self) -> None:
        if self.faults:
            lines = [
                f'- {len(records)} {kind} {what} ({_some(records)}): {remedy}'
                for (kind, what, remedy), records in self.faults.items()
            ]
            raise ValueError('\n'.join([f'{self.name} cannot be used:', *lines]))

    def _report(self) -> None:
        for text, records in self.notes.items():
            print_log(f'{self.name}: {text.format(len(records))} (ids {_some(records)})', 'current', WARNING)


def _some(records: Iterable[Any]) -> str:
    records = list(records)
    return ', '.join(str(record) for record in records[:SHOWN]) + (', ...' if len(records) > SHOWN else '')


def _as_tuple(names: Iterable[str]) -> str:
    return repr(tuple(names))
