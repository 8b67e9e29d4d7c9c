"""Data sets of regimes.py: real and generated images in one layout, and cut into slices as SAHI's users do.

A folder has train.json and val.json, in COCO's format, and the images in train/ and val/. Ignored regions ("DontCare")
are crowds of every class: SNIP, SNIPER and COCO's evaluation leave them out, mmdet's assigners learn them as background
(in HIT-UAV 0.02 % of the area).
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

from arms import ROOT, SHAPES, run

DATA = dict(hituav='HIT-UAV', bccd='BCCD', shapes='shapes, 1280 px')


class Budget(NamedTuple):
    """What a run may cost.

    Attributes:
        gigapixels: Network pixels of a run.
        val: Images that are tested on; as many others, the search of rates is.
    """

    gigapixels: float
    val: int


BUDGETS = dict(hituav=Budget(0.4, 75), bccd=Budget(0.2, 36), shapes=Budget(0.2, 40))
REGION = 'DontCare'
# Of BCCD, which comes in one piece, every fifth image is to test on.
VAL_EVERY = 5
N_SHAPES = 160
OVERLAP = 0.2


def make(name: str, args: Namespace) -> Path:
    """Folder of a data set; made if it is missing.

    Args:
        name: Of :data:`DATA`.
        args: With ``work_dir``, and ``source``: where HIT-UAV or BCCD lies.
    """
    folder = args.work_dir / 'data' / name
    if (folder / 'all_val.json').exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if name == 'shapes':
        numbers = {**SHAPES, 'train': [N_SHAPES], 'val': [N_SHAPES // 2]}
        options = [word for key, values in numbers.items() for word in (f'--{key}', *values)]
        run([ROOT / 'tools/make_shapes_dataset.py', folder / 'made', *options], folder / 'log.txt')
        contents = {s: json.loads((folder / f'made/annotations/{s}.json').read_text()) for s in ('train', 'val')}
        places = {split: folder / 'made' / split for split in contents}
    elif name == 'hituav':
        contents = {split: json.loads((args.source / f'{split}.json').read_text()) for split in ('train', 'val')}
        places = {split: args.source / split for split in contents}
    else:
        content = json.loads((args.source / 'annotations.json').read_text())
        chosen = {image['id'] for image in content['images'][::VAL_EVERY]}
        contents = {split: part(content, chosen, split == 'val') for split in ('train', 'val')}
        places = dict.fromkeys(contents, args.source / 'images')
    for split in ('train', 'val'):
        (folder / split).symlink_to(places[split].resolve())
        (folder / f'{split}.json').write_text(json.dumps(with_regions(contents[split])))
    (folder / 'all_val.json').write_text((folder / 'val.json').read_text())
    return folder


def part(content: dict, ids: set, inside: bool) -> dict:
    """The images of a data set that are in a set of ids, or not, with their annotations that have an area."""
    annotations = [one for one in content['annotations'] if min(one['bbox'][2:]) > 0]
    return dict(
        content,
        images=[image for image in content['images'] if (image['id'] in ids) == inside],
        annotations=[one for one in annotations if (one['image_id'] in ids) == inside],
    )


def with_regions(content: dict) -> dict:
    """Annotations of REGION as crowds of every class; numbered from 1."""
    region = {category['id'] for category in content['categories'] if category['name'] == REGION}
    classes = [category for category in content['categories'] if category['id'] not in region]
    annotations = []
    for one in content['annotations']:
        if one['category_id'] in region:
            annotations += [dict(one, category_id=category['id'], iscrowd=1) for category in classes]
        else:
            annotations.append(one)
    annotations = [dict(one, id=n, segmentation=[]) for n, one in enumerate(annotations, 1)]
    return dict(images=content['images'], annotations=annotations, categories=classes)


def sliced(folder: Path, size: int) -> Path:
    """Folder of a data set whose training images are cut into overlapping slices by SAHI, empty ones as they fall.

    SAHI keeps what lies in a slice by a tenth of its area or more, and drops crowds' flags with their polygons, so that
    regions are left out of it: a slice beside one may show it as background.

    Args:
        folder: Of :func:`make`.
        size: Side of a slice, image pixels.
    """
    from sahi.slicing import slice_coco

    out = folder.with_name(f'{folder.name}_slices_{size}')
    if (out / 'train.json').exists():
        return out
    objects = json.loads((folder / 'train.json').read_text())
    objects['annotations'] = [one for one in objects['annotations'] if not one.get('iscrowd')]
    out.mkdir(parents=True, exist_ok=True)
    (out / 'objects.json').write_text(json.dumps(objects))
    content, _ = slice_coco(
        coco_annotation_file_path=str(out / 'objects.json'),
        image_dir=str(folder / 'train'),
        output_coco_annotation_file_name='sliced',
        output_dir=str(out / 'train'),
        ignore_negative_samples=False,
        slice_height=size,
        slice_width=size,
        overlap_height_ratio=OVERLAP,
        overlap_width_ratio=OVERLAP,
        verbose=False,
    )
    content['categories'] = objects['categories']
    for one in content['annotations']:
        one.setdefault('iscrowd', 0)
    (out / 'train.json').write_text(json.dumps(content))
    for name in ('val', 'val.json'):
        (out / name).symlink_to((folder / name).resolve())
    return out
