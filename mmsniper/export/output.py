"""Output: the folder of an export, whole or unfinished."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..chips.files import replacing

# As in which folder what is there was written.
SETTINGS, SUMMARY, ANNOTATIONS, IMAGES, PARTS = 'export.json', 'summary.json', 'annotations.json', 'images', 'parts'


class Output:
    """Files of an export, which is complete when ``annotations.json`` is there.

    A shard's chips are written first, then its records, as a part that takes its name when it is whole. A part counts
    if all of its chips have the length that they were written with.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.parts = folder, folder / IMAGES, folder / PARTS

    def claim(self, settings: dict) -> None:
        """Make the folder that of an export with these settings.

        Raises:
            ValueError: If it holds anything else.
        """
        path = self.folder / SETTINGS
        settings = json.loads(json.dumps(settings))
        if path.exists():
            before = json.loads(path.read_text())
            changed = [key for key in settings if before.get(key) != settings[key]]
            if changed:
                said = ', '.join(
                    'other data, chips or transforms' if key == 'made_of' else f'{key} {before.get(key)!r}'
                    for key in changed
                )
                raise ValueError(f'{self.folder} holds an export with {said}: remove it, or export to another folder')
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f'{self.folder} holds other files: export to a new folder')
        for folder in (self.folder, self.images, self.parts):
            folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(settings, indent=2) + '\n')

    def finished(self) -> dict | None:
        """The summary of a complete export; None if it is not complete, or chips have been removed since."""
        if not (self.folder / ANNOTATIONS).exists() or not (self.folder / SUMMARY).exists():
            return None
        summary = json.loads((self.folder / SUMMARY).read_text())
        if len(self._sizes()) != summary['counts'].get('chips', 0):
            return None
        shutil.rmtree(self.parts, ignore_errors=True)
        return summary

    def done_shards(self, n_shards: int) -> list[int]:
        """Numbers of the shards that need not be exported again."""
        sizes = self._sizes()
        done = []
        for n in range(n_shards):
            path = self._part(n)
            if path.exists() and all(
                sizes.get(image['file_name']) == image['bytes'] for image in json.loads(path.read_text())['images']
            ):
                done.append(n)
        return done

    def write_image(self, name: str, content: bytes) -> None:
        """Write a chip."""
        (self.images / name).write_bytes(content)

    def write_shard(self, n: int, shard: dict) -> None:
        """Write a shard's records, once its chips are written."""
        with replacing(self._part(n)) as file:
            json.dump(shard, file)

    def merge(self, n_shards: int, about: dict, categories: list[dict]) -> dict:
        """Join all parts into ``annotations.json``, numbered through, and remove them; the summary."""
        counts: Counter = Counter()
        unreadable: list[str] = []
        strays = set(self._sizes())  # of images that broke after an earlier call had exported them
        for part in self._read_parts(n_shards):
            counts.update(part['counts'])
            unreadable += part['unreadable']
            strays.difference_update(image['file_name'] for image in part['images'])
        for name in strays:
            (self.images / name).unlink()
        summary = dict(counts=dict(sorted(counts.items())), unreadable=unreadable)
        with replacing(self.folder / ANNOTATIONS) as file:
            file.write('{"info": ' + json.dumps(dict(about, counts=summary['counts'], left_out=unreadable)))
            file.write(f',\n"categories": {json.dumps(categories)},\n"images": [')
            n_images = 0
            for part in self._read_parts(n_shards):
                for image in part['images']:
                    del image['bytes']
                    file.write(_line(n_images, dict(id=n_images + 1, **image)))
                    n_images += 1
            file.write('\n],\n"annotations": [')
            n_objects = n_before = 0
            for part in self._read_parts(n_shards):
                for record in part['annotations']:
                    image_id = n_before + record.pop('image') + 1
                    file.write(_line(n_objects, dict(id=n_objects + 1, image_id=image_id, **record)))
                    n_objects += 1
                n_before += len(part['images'])
            file.write('\n]}\n')
        with replacing(self.folder / SUMMARY) as file:
            file.write(json.dumps(summary, indent=2) + '\n')
        shutil.rmtree(self.parts)
        return summary

    def _part(self, n: int) -> Path:
        return self.parts / f'{n:06d}.json'

    def _read_parts(self, n_shards: int) -> Iterator[dict[str, Any]]:
        for n in range(n_shards):
            yield json.loads(self._part(n).read_text())

    def _sizes(self) -> dict[str, int]:
        """Bytes of the chips that are there."""
        return {entry.name: entry.stat().st_size for entry in os.scandir(self.images)}


def _line(n: int, record: dict) -> str:
    return ('\n' if n == 0 else ',\n') + json.dumps(record)
