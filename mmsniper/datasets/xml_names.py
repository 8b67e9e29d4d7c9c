"""Names of classes in VOC's XML files, which mmdet drops without a word if the config does not list them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from logging import WARNING
from typing import Any
from xml.etree.ElementTree import ElementTree

from mmdet.datasets import XMLDataset
from mmengine.logging import print_log

SHOWN = 5


class XmlNames:
    """Stands in for the method by which an ``XMLDataset`` parses objects: counts their names, on their way.

    Args:
        dataset: The data set, before it reads its files.

    Attributes:
        found: How many objects have which name.
    """

    def __init__(self, dataset: XMLDataset) -> None:
        self.dataset = dataset
        self.classes = dataset.metainfo['classes']
        self.found: Counter[str] = Counter()

    def __call__(self, raw_ann_info: ElementTree, minus_one: bool = True) -> list[dict]:
        """As ``XMLDataset._parse_instance_info``."""
        self.found.update(node.text or '' for node in raw_ann_info.findall('object/name'))
        check_is_tuple(self.classes, self.found, self.dataset.ann_file)  # or it would end in a KeyError
        return type(self.dataset)._parse_instance_info(self.dataset, raw_ann_info, minus_one=minus_one)


def count_on_load(dataset: XMLDataset) -> XmlNames:
    """Let a data set count names when it reads its files."""
    if not isinstance(dataset._parse_instance_info, XmlNames):
        dataset._parse_instance_info = XmlNames(dataset)
    return dataset._parse_instance_info


def check_names(dataset: XMLDataset) -> None:
    """Compare the names in a data set's files with its classes; say once what is left out.

    Args:
        dataset: Loaded; where it was not :func:`count_on_load`, its files are read again.

    Raises:
        ValueError: If the classes are no tuple of names, or one that no object has is nearly one that objects have.
    """
    counted = isinstance(dataset._parse_instance_info, XmlNames)
    names = count_on_load(dataset)
    if not counted:
        dataset.load_data_list()
    name, classes = dataset.ann_file, dataset.metainfo['classes']
    absent = [wanted for wanted in classes if wanted not in names.found]
    unlisted = {found: n for found, n in names.found.most_common() if found not in classes}
    if not unlisted:
        return
    near = {wanted: _near(wanted, unlisted) for wanted in absent}
    if misspelt := {wanted: found for wanted, found in near.items() if found}:
        said = ', '.join(
            f'{wanted!r}, but {unlisted[found]} objects are {found!r}' for wanted, found in misspelt.items()
        )
        written = tuple(misspelt.get(wanted, wanted) for wanted in classes)
        raise ValueError(
            f"{name}: metainfo's classes name {said}: they would be left out; write metainfo=dict(classes={written}), "
            'in the data sets for validation and test, too'
        )
    lost, total = sum(unlisted.values()), sum(names.found.values())
    said = ', '.join(f'{found!r} ({n})' for found, n in list(unlisted.items())[:SHOWN])
    print_log(
        f"{name}: {lost} of {total} objects left out, their names are not in the data set's classes: {said}"
        + (', ...' if len(unlisted) > SHOWN else ''),
        'current',
        WARNING,
    )


def check_is_tuple(classes: Any, found: Sequence[str] | Counter, name: str) -> None:
    """Refuse class names that are no tuple of text.

    Args:
        classes: Of the data set.
        found: Names that its files have, as far as they are read.
        name: What messages call it.

    Raises:
        ValueError: If they are anything else.
    """
    if isinstance(classes, str) or not all(isinstance(one, str) for one in classes):
        raise ValueError(
            f"metainfo's classes must be a tuple of names, but are {classes!r}; {name} has classes={tuple(found)!r} "
            "(one name needs a comma: ('name',))"
        )


def _near(wanted: str, unlisted: dict[str, int]) -> str | None:
    """The name that is meant, if one is near, whatever its case and spaces."""
    plain = {found.strip().lower(): found for found in reversed(unlisted)}
    matches = get_close_matches(wanted.strip().lower(), plain, 1, 0.75)
    return plain[matches[0]] if matches else None
