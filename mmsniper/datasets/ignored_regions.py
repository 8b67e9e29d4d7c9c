"""Categories that mark regions to be ignored, such as 'DontCare': background to nobody, in training and evaluation.

A data set names them beside its classes: ``metainfo=dict(classes=('Car', ...), ignored_categories=('DontCare',))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

KEY = 'ignored_categories'


def ignored_ids(
    ignored: Sequence[str], classes: Sequence[str], categories: Sequence[dict], name: str
) -> set[int | str]:
    """Ids of the categories that a data set calls ignored.

    Args:
        ignored: Their names.
        classes: Names of what is taught.
        categories: Of the annotation file.
        name: The file's, for messages.

    Raises:
        ValueError: If one is not in the file, or is a class as well.
    """
    if isinstance(ignored, str) or not all(isinstance(one, str) for one in ignored):
        raise ValueError(
            f"metainfo's {KEY} must be a tuple of names, but are {ignored!r}; one name needs a comma: ('DontCare',)"
        )
    if both := sorted(set(ignored) & set(classes)):
        raise ValueError(f'metainfo has {", ".join(both)} in classes and in {KEY}: take it out of one')
    names = [category['name'] for category in categories]
    for one in ignored:
        if one not in names:
            near = get_close_matches(one, names, 1, 0.6)
            raise ValueError(
                f"{name} has no category {one!r}, which metainfo's {KEY} lists"
                f'{f" (is it {near[0]!r}?)" if near else ""}; its categories are {tuple(names)}'
            )
    return {category['id'] for category in categories if category['name'] in ignored}


def as_region(annotation: dict, category_id: int | str) -> dict:
    """An annotation as a crowd of a category: COCO's form of what is not to be learnt, or counted.

    Args:
        annotation: With ``bbox``; one without a segmentation gets its box's.
        category_id: The category.
    """
    region = dict(annotation, category_id=category_id, iscrowd=1)
    if not region.get('segmentation'):
        x, y, width, height = region['bbox']
        region['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    return region
