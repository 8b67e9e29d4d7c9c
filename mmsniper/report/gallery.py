"""Chips with their labels as pictures that lie inside a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from torch.utils.data import Dataset

from ..chips import ChipKind, ChipPlan
from ..datasets import ChipDataset
from ..image_files import spread
from ..visualization import chip_title, draw_chip, draw_panels

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]


def gallery(samples: Dataset, dataset: ChipDataset, plan: ChipPlan, most: int, most_bytes: int) -> dict:
    """Chips of a plan as the network sees them, of every scale and kind, spread over all images.

    Args:
        samples: Gives a chip by its key: the data set, or one around it that mixes chips.
        dataset: Made the plan.
        plan: Of an epoch.
        most: How many to show.
        most_bytes: Size of all pictures together.

    Returns:
        ``chips``: of each ``title``, ``scale_idx``, ``image`` (name of the file), ``says`` (what is in it, in words),
        ``source`` (a data URL), ``width`` and ``height``; ``of``: how many there are; ``too_large``: how many more
        would have been shown but for `most_bytes`.

    Raises:
        RuntimeError: If an image cannot be read.
    """
    rows = choose(plan, len(dataset.planner.scales), most)
    chips: list[dict] = []
    size = 0
    for n in rows.tolist():
        key = plan.key(n)
        packed = samples[key]
        sample = packed['data_samples']
        picture = draw_chip(packed['inputs'], sample, dataset.classes)
        source = data_url(picture)
        size += len(source)
        if size > most_bytes:
            break
        chips.append(
            dict(
                title=chip_title(sample, dataset.planner.scales, key.kind),
                scale_idx=key.scale_idx,
                image=_name(dataset, key.image_idx),
                says=in_words(sample, dataset.classes),
                source=source,
                width=picture.shape[1],
                height=picture.shape[0],
            )
        )
    return dict(chips=chips, of=len(plan), too_large=len(rows) - len(chips))


def choose(plan: ChipPlan, n_scales: int, most: int) -> np.ndarray:
    """Rows of a plan, some of every scale and kind that it has: (K,), scale by scale."""
    group = plan.chips.scale_idx * len(ChipKind) + plan.kind
    groups = [np.flatnonzero(group == n) for n in range(n_scales * len(ChipKind))]
    shares = fair_shares([len(rows) for rows in groups], most)
    parts = [rows[spread(len(rows), share)] for rows, share in zip(groups, shares, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def fair_shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many to take of each group, `most` in all: equally many, and all of those that have fewer."""
    shares = [0] * len(sizes)
    present = sorted((size, n) for n, size in enumerate(sizes) if size)
    for left, (size, n) in zip(range(len(present), 0, -1), present, strict=True):
        shares[n] = min(size, most // left)
        most -= shares[n]
    return shares


def panels_of_image(dataset: ChipDataset, plan: ChipPlan, image_idx: int) -> dict:
    """An image with its chips, a panel per scale: ``image`` (the file's name), ``n_chips``, ``sources`` (data URLs)."""
    keys = [plan.key(n) for n in np.flatnonzero(plan.image_idx == image_idx).tolist()]
    panels = draw_panels(dataset.planner, dataset.dataset.get_data_info(image_idx), keys)
    return dict(image=_name(dataset, image_idx), n_chips=len(keys), sources=[data_url(panel) for panel in panels])


def data_url(picture: np.ndarray) -> str:
    """A picture, (H, W, 3) uint8 BGR, as a JPEG inside a URL."""
    _, encoded = cv2.imencode('.jpg', picture, QUALITY)
    return 'data:image/jpeg;base64,' + base64.b64encode(encoded.tobytes()).decode()


def in_words(sample: DetDataSample, classes: tuple[str, ...]) -> str:
    """What a chip shows: its valid objects by class, and how many others."""
    truth = sample.gt_instances
    names = [classes[label] for label in truth.labels[truth.valid].tolist()]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    valid = ', '.join(f'{n} x {name}' if n > 1 else name for name, n in counts.items())
    others = {'invalid': int((~truth.valid).sum()), 'ignored': len(sample.ignored_instances)}
    return '; '.join([f'valid: {valid or "none"}', *(f'{n} {name}' for name, n in others.items() if n)])


def _name(dataset: ChipDataset, image_idx: int) -> str:
    return Path(dataset.dataset.get_data_info(image_idx).get('img_path', f'image {image_idx}')).name
