"""Detections in COCO's format, written while they come in, by one process or several."""

import heapq
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pycocotools import mask as coco_mask

from mmsniper.chips.files import replacing


class Parts:
    """What the processes of a job find, a file each with a line of JSON per image; a context manager for this one's.

    A part takes its name when its process is done with its images. Made by all processes before any begins.

    Args:
        folder: Where the parts are.
        rank: This process.
        world_size: All processes.
    """

    def __init__(self, folder: Path, rank: int, world_size: int) -> None:
        self.done = [folder / f'detections.part{n}' for n in range(world_size)]
        self.unfinished = [path.with_suffix(f'{path.suffix}.tmp') for path in self.done]
        self.rank = rank
        self.done[rank].unlink(missing_ok=True)
        self.unfinished[rank].write_text('')

    def __enter__(self) -> 'Parts':
        self.file = self.unfinished[self.rank].open('w')
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.file.close()
        if kind is None:
            self.unfinished[self.rank].replace(self.done[self.rank])

    def check(self) -> None:
        """Whether all processes write to one folder, once all have made theirs.

        Raises:
            OSError: If not.
        """
        if missing := [path for path in self.unfinished if not path.exists()]:
            raise OSError(f'{missing[0]} does not exist: --out must be one folder for all processes')

    def wait(self) -> None:
        """Until all processes are done; whoever started them ends this one if another fails."""
        while not all(path.exists() for path in self.done):
            time.sleep(0.1)

    def add(self, number: int, file_name: str, width: int, height: int, found: dict) -> None:
        """Add an image.

        Args:
            number: Its place among all images; a process adds its own in ascending order.
            file_name: Its name.
            width: Its width.
            height: Its height.
            found: ``bboxes`` xyxy, ``labels``, ``scores`` and, if there are any, ``masks``, as ``pred2dict`` has them.
        """
        annotations = []
        for n, (x1, y1, x2, y2) in enumerate(found['bboxes']):
            annotation = dict(
                category_id=found['labels'][n] + 1,
                bbox=[round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                area=round((x2 - x1) * (y2 - y1), 3),
                score=found['scores'][n],
                iscrowd=0,
            )
            if 'masks' in found:
                annotation.update(segmentation=found['masks'][n], area=int(coco_mask.area(found['masks'][n])))
            annotations.append(annotation)
        image = dict(file_name=file_name, width=width, height=height)
        self.file.write(json.dumps([number, image, annotations]) + '\n')
        self.file.flush()

    def merge(self, path: Path, classes: Sequence[str]) -> tuple[int, int]:
        """Write all that was found as one file, image by image, and remove the parts.

        Args:
            path: The file, replaced when all is written.
            classes: Names of the labels; label 0 becomes category 1.

        Returns:
            Images and detections in it.
        """
        parts = [path for path in (*self.done, *self.unfinished) if path.exists()]
        images: list[dict] = []
        n_annotations = 0
        with replacing(path) as file:
            file.write('{"annotations": [')
            for _, image, annotations in heapq.merge(*map(_lines, parts), key=lambda line: line[0]):
                images.append(dict(id=len(images) + 1, **image))
                for annotation in annotations:
                    file.write(',\n' if n_annotations else '\n')
                    n_annotations += 1
                    file.write(json.dumps(dict(id=n_annotations, image_id=len(images), **annotation)))
            categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]
            file.write(f'\n], {json.dumps(dict(images=images, categories=categories))[1:]}\n')
        for part in parts:
            part.unlink(missing_ok=True)
        return len(images), n_annotations


def _lines(part: Path) -> Iterator[list]:
    """The images of a part; a last line that a stop has cut off is none."""
    with part.open() as file:
        for line in file:
            if line.endswith('\n'):
                yield json.loads(line)
