"""Where a config finds the images and annotations, and what it validates on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..chips.files import replacing
from ..datasets.coco_file import CocoFile
from ..image_files import spread
from .fingerprint import Fingerprint

LOOKED_AT = 20
VAL_SHARE = 0.15
# A key of the files that a split is written to: what lacks it is somebody else's.
SPLIT_OF = 'split_of'
# With fewer images, a part of them measures nothing.
LEAST_TO_SPLIT = 10


@dataclass(frozen=True)
class DataFiles:
    """Files that a config names.

    Attributes:
        train: Annotations to train on.
        val: Annotations to validate on.
        images: Folder of the training images.
        val_images: Folder of the validation images.
        notes: What the user should know of them.
        n_train: Images to train on.
    """

    train: Path
    val: Path
    images: Path
    val_images: Path
    notes: list[str]
    n_train: int


def find_images(
    data_file: str, file_names: list[str], folder: str | None, option: str = '--images'
) -> tuple[Path, bool]:
    """The folder below which the images lie, and whether it was guessed.

    Args:
        data_file: The annotation file.
        file_names: Its images.
        folder: Where the user says they are, or None.
        option: By which.

    Raises:
        FileNotFoundError: If they are not there, or nowhere near the annotation file.
    """
    some = [file_names[n] for n in spread(len(file_names), LOOKED_AT)]
    if folder is not None:
        if missing := [name for name in some if not (Path(folder) / name).is_file()]:
            raise FileNotFoundError(
                f'{Path(folder) / missing[0]} does not exist, nor do {len(missing) - 1} more of {len(some)} images '
                f'looked for; {option} is the folder that file_name in {data_file} starts from'
            )
        return Path(folder).resolve(), False
    near = Path(data_file).resolve().parent
    stem = Path(data_file).stem
    names = ['', 'images', 'train', stem, stem.removeprefix('instances_'), 'img', 'JPEGImages']
    places = [place / name for place in (near, near.parent) for name in names]
    for place in places:
        if all((place / name).is_file() for name in some):
            return place, True
    raise FileNotFoundError(
        f'{some[0]} and the other images of {data_file} are neither beside it nor in {", ".join(names[1:])}; say '
        f'{option} FOLDER: the folder that its file_name starts from'
    )


def data_files(
    data: Fingerprint, out: Path, images: str | None, val: str | None, val_images: str | None, with_masks: bool = False
) -> DataFiles:
    """Find the images, check the validation file or split the training file in two, beside the config.

    Args:
        data: The data set.
        out: The config that will be written.
        images: Folder of the training images, or None to look for it.
        val: Annotations to validate on, or None to split.
        val_images: Folder of their images, or None to look for it.
        with_masks: Objects need masks.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If the validation file is malformed or has other classes.
    """
    train = Path(data.path).resolve()
    folder, guessed = find_images(data.path, data.file_names, images)
    notes = [f'The images are taken from {folder}, where their names are found.'] if guessed else []
    n_images = len(data)
    if val is not None:
        file = CocoFile(val, val, with_masks and 'evaluated', evaluated=True)
        file.check(data.classes)
        names = [image.get('file_name', image.get('coco_url')) for image in file.content['images']]
        try:
            there, _ = find_images(val, names, val_images, '--val-images')
        except FileNotFoundError:
            if val_images is not None or images is None:
                raise
            there, _ = find_images(val, names, images, '--val-images')
        return DataFiles(train, Path(val).resolve(), folder, there, notes, n_images)
    if n_images < LEAST_TO_SPLIT:
        notes.append(
            f'Validation is on the {n_images} training images themselves: too few to set some apart. It shows that '
            'training works, not how good the detector is on new images: annotate more, and give --val.'
        )
        path = write_part(data, range(n_images), out.with_name(f'{out.stem}_val.json'))
        return DataFiles(train, path, folder, folder, notes, n_images)
    order = np.random.default_rng(0).permutation(n_images)
    n_val = max(round(VAL_SHARE * n_images), 2)
    first, second = np.sort(order[n_val:]).tolist(), np.sort(order[:n_val]).tolist()
    parts = [
        write_part(data, part, out.with_name(f'{out.stem}_{name}.json'))
        for part, name in ((first, 'train'), (second, 'val'))
    ]
    notes.append(
        f'Without --val, {n_val} of the {n_images} images, drawn at random but always the same, are set apart to '
        f'validate on: {parts[0].name} and {parts[1].name}. If images resemble each other (frames of a video), split '
        'them yourself and give --val.'
    )
    return DataFiles(*parts, folder, folder, notes, len(first))


def write_part(data: Fingerprint, rows: list[int] | range, path: Path) -> Path:
    """Write some images of a data set and their annotations as a COCO file.

    Raises:
        ValueError: If there is such a file, and not by this function.
    """
    own = path.exists() and SPLIT_OF in json.loads(path.read_text()) and not path.samefile(data.path)
    if path.exists() and not own:
        raise ValueError(f'{path} is there already, and is not a part of a split: name the config otherwise, by --out')
    images = [data.content['images'][row] for row in rows]
    ids = {image['id'] for image in images}
    annotations = [annotation for annotation in data.content['annotations'] if annotation['image_id'] in ids]
    part = dict(data.content, images=images, annotations=annotations, **{SPLIT_OF: data.path})
    with replacing(path) as file:
        json.dump(part, file)
    return path.resolve()
