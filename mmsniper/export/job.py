"""Exports an epoch's chips, shard by shard, in any number of processes, stopped and taken up again at any moment."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..chips import ChipKey
from ..datasets import ChipDataset
from ..image_files import UnreadableImageError
from .output import Output
from .records import INVALID_AS, content_size, encoded, image_record, object_records, pixels_of
from .source import SourceAnnotations

# Chips per shard, some more if an image has more: what a stop may cost.
SHARD = 64


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how.

    Attributes:
        seed: Of the plans.
        epoch: The first, from 0.
        epochs: How many; all go into one data set.
        image_format: 'jpg' or 'png'.
        quality: Of JPEG, 1 to 100.
        invalid: What becomes of objects of the wrong size for a chip's scale, or cut: 'keep' them as objects, 'ignore'
            = mark them ``iscrowd``, or 'drop' them.
        padded: Pad chips to their full size, as training does.
        augment: Run the transforms behind the cut, too.
    """

    seed: int = 0
    epoch: int = 0
    epochs: int = 1
    image_format: str = 'jpg'
    quality: int = 95
    invalid: str = 'keep'
    padded: bool = True
    augment: bool = False

    def __post_init__(self) -> None:
        if self.image_format not in ('jpg', 'png'):
            raise ValueError(f"image_format is 'jpg' or 'png'; got {self.image_format!r}")
        if self.invalid not in INVALID_AS:
            raise ValueError(f'invalid is one of {", ".join(INVALID_AS)}; got {self.invalid!r}')
        if not 1 <= self.quality <= 100:
            raise ValueError(f'quality is that of JPEG, 1 to 100; got {self.quality!r}')
        if self.epoch < 0 or self.epochs < 1:
            raise ValueError(f'epochs are counted from 0, one at least; got {self.epochs} from {self.epoch}')


class ChipExport(Dataset):
    """Shards of an export: ``export[n]`` cuts and writes the chips of shard n, and gives their records.

    Shards are runs of images; which, and what they hold, does not depend on who exports them, or when.

    Args:
        dataset: Built with a pipeline that loads and cuts; see :func:`~mmsniper.export.cut_only`.
        output: Where the files go.
        settings: What is exported.
    """

    def __init__(self, dataset: ChipDataset, output: Output, settings: ExportSettings) -> None:
        self.dataset, self.output, self.settings = dataset, output, settings
        epochs = range(settings.epoch, settings.epoch + settings.epochs)
        self.plans = [dataset.plan(epoch, settings.seed) for epoch in epochs]
        images = np.arange(len(dataset.table) + 1)
        self.rows = [np.searchsorted(plan.image_idx, images) for plan in self.plans]
        start = np.sum(self.rows, axis=0)
        first = np.unique(start[:-1] // SHARD, return_index=True)[1]
        self.shards = np.append(first, len(dataset.table))
        self.n_chips = np.diff(start[self.shards])
        self.source = SourceAnnotations(dataset.dataset)
        pipeline = dataset.pipeline
        pipeline.keep_polygons = not settings.augment
        # Of transforms that drop or add objects nobody knows whose ids are left.
        self.knows_ids = not settings.augment

    def __len__(self) -> int:
        return len(self.shards) - 1

    def digest(self) -> str:
        """Of all that the export is made of, but the images' files."""
        steps = re.sub(' at 0x[0-9a-f]+', '', repr(self.dataset.pipeline))  # of those that do not say what they are
        parts = [self.source.digest, repr(self.dataset.planner), steps]
        for plan in self.plans:
            parts += [plan.image_idx.tobytes(), plan.chips.bboxes.tobytes(), plan.seeds.tobytes(), plan.kind.tobytes()]
        digest = hashlib.sha256(self.dataset.table.bboxes.tobytes())
        for part in parts:
            digest.update(part if isinstance(part, bytes) else part.encode())
        return digest.hexdigest()

    def __getitem__(self, n: int) -> dict:
        shard = dict(images=[], annotations=[], unreadable=[], counts=Counter())
        for image_idx in range(self.shards[n], self.shards[n + 1]):
            try:
                self._export_image(int(image_idx), shard)
            except UnreadableImageError as error:
                if self.dataset.on_bad_image == 'raise':
                    remedy = "on_bad_image='skip' in the ChipDataset leaves such images out"
                    return dict(error=f'{error}; {remedy}')
                shard['unreadable'].append(str(error))
            except ValueError as error:  # says which image
                return dict(error=str(error))
        self.output.write_shard(n, shard)
        return {}

    def _export_image(self, image_idx: int, shard: dict) -> None:
        keys = [
            (epoch, plan.key(row))
            for epoch, (plan, rows) in enumerate(zip(self.plans, self.rows, strict=True), self.settings.epoch)
            for row in range(rows[image_idx], rows[image_idx + 1])
        ]
        if not keys:
            return
        pipeline, info = self.dataset.pipeline, self.dataset.dataset.get_data_info(image_idx)
        name, ids = self.source.image(info)
        # Cut first, written together: an image that breaks off in the middle is left out whole.
        cut = []
        loaded = pipeline.load(info)
        for n, (epoch, key) in enumerate(keys):
            results = loaded and pipeline.cut(loaded, key, self.dataset.planner)
            if results is None:
                raise ValueError(f'{info.get("img_path")}: a transform returned None, which drops the sample')
            file_name = f'{image_idx:06d}_{_plain(Path(name).stem)}_{n:03d}.{self.settings.image_format}'
            cut.append((epoch, key, file_name, *self._records(results, key, ids if self.knows_ids else [])))
        for epoch, key, file_name, content, record, objects, counts in cut:
            self.output.write_image(file_name, content)
            record = dict(file_name=file_name, **record, epoch=epoch, source=name, source_id=info.get('img_id'))
            shard['annotations'] += [dict(one, image=len(shard['images'])) for one in objects]
            shard['images'].append(dict(record, bytes=len(content)))
            shard['counts'].update(counts)
            shard['counts'].update({'chips': 1, f'{record["kind"]} chips': 1, f'scale {key.scale_idx}': 1})
            shard['counts']['chips without objects'] += not objects
        shard['counts']['images'] += 1

    def _records(self, results: dict, key: ChipKey, ids: list) -> tuple[bytes, dict, list[dict], Counter]:
        image = pixels_of(results['img'])
        if not self.settings.padded:
            width, height = content_size(results)
            image = image[:height, :width]
        size = image.shape[1::-1]
        objects, counts = object_records(results, self.source.categories, ids, self.settings.invalid, size)
        content = encoded(image, self.settings.image_format, self.settings.quality)
        return content, image_record(results, key, size), objects, counts


def export_chips(
    dataset: ChipDataset,
    folder: str | Path,
    settings: ExportSettings,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Export chips as a COCO data set: ``annotations.json`` and ``images/``.

    A call that was stopped goes on when it is made again. What is written is the same for any number of processes.

    Args:
        dataset: Built with the pipeline of :func:`~mmsniper.export.cut_only`.
        folder: New, empty, or with an export of the same settings.
        settings: What is exported.
        workers: Processes.
        progress: Called with the number of chips that are done, and of all.

    Returns:
        What there is: counts by what they count, ``unreadable`` (what left images out), and ``before``: chips that
        an earlier call had exported.

    Raises:
        ValueError: If the folder holds anything else, or an image or annotation is broken; names it.
    """
    output = Output(Path(folder))
    shards = ChipExport(dataset, output, settings)
    total = int(shards.n_chips.sum())
    output.claim(dict(asdict(settings), made_of=shards.digest()))
    if (summary := output.finished()) is not None:
        progress(total, total)
        return dict(summary, before=summary['counts'].get('chips', 0))
    done = output.done_shards(len(shards))
    before = n_done = int(shards.n_chips[done].sum())
    progress(n_done, total)
    rest = [n for n in range(len(shards)) if n not in set(done)]
    loader = DataLoader(
        shards,
        batch_size=None,
        sampler=rest,
        num_workers=min(workers, len(rest)) if workers > 1 else 0,
        worker_init_fn=_one_thread,
    )
    for n, result in zip(rest, loader, strict=True):
        if 'error' in result:
            raise ValueError(result['error'])
        n_done += int(shards.n_chips[n])
        progress(n_done, total)
    planner = dataset.planner
    about = dict(
        description='Chips, cut by mmsniper',
        scales=[list(scale) if isinstance(scale, tuple) else scale for scale in planner.scales],
        **asdict(settings),
    )
    return dict(output.merge(len(shards), about, shards.source.categories), before=before)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _plain(name: str) -> str:
    """A part of a file name that is one on every system."""
    return re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:60]
