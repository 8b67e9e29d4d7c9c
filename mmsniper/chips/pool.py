"""NegativePool: the negative chips mined on a data set, in memory and in one small file (SNIPER, sec. 3.3).

Shapes: I images, N chips in all, S scales.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .files import replacing
from .plan import ChipTable
from .planner import ChipPlanner, Chips, ImageSize, check_min_proposals

FORMAT = 'mmsniper negative chips 1'
REMEDY = 'mine again with NegativeChipMiner or `mmsniper mine`'


class NegativePool:
    """Negative chips of many images, in flat arrays; also a sequence of :class:`Chips` in the order of its keys.

    Attributes:
        planner: The planner that chose the chips.
        min_proposals: Per scale, the least number of proposals that was worth a chip.
        keys: I keys (see :func:`image_key`), sorted.
        sizes: (I, 2) int64, (width, height) of each image.
        start: (I + 1,) int64; image i owns rows ``start[i]:start[i + 1]``.
        bboxes: (N, 4) chips, image frame, whole numbers in the smallest unsigned type that holds them.
        scale_idx: (N,) uint8, index into the planner's scales.
        dataset: What the data set said of itself, such as its classes.
        versions: Versions of the packages that mined, by name.
    """

    def __init__(
        self,
        planner: ChipPlanner,
        min_proposals: int | Sequence[int],
        keys: Sequence[str],
        sizes: ArrayLike,
        counts: ArrayLike,
        bboxes: ArrayLike,
        scale_idx: ArrayLike,
        dataset: Mapping | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self.planner = planner
        self.min_proposals = check_min_proposals(min_proposals, len(planner.scales)).tolist()
        self.keys = list(keys)
        self.sizes = np.asarray(sizes, np.int64).reshape(-1, 2)
        self.start = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])
        self.bboxes = _smallest(np.asarray(bboxes).reshape(-1, 4))
        self.scale_idx = np.asarray(scale_idx, np.uint8)
        self.dataset = dict(dataset or {})
        self.versions = dict(versions or {})
        self._rows = {key: row for row, key in enumerate(self.keys)}

    @classmethod
    def build(
        cls,
        planner: ChipPlanner,
        min_proposals: int | Sequence[int],
        images: Iterable[tuple[str, ImageSize, ArrayLike, ArrayLike]],
        dataset: Mapping | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> NegativePool:
        """From (path, (width, height), bboxes (N, 4), scale_idx (N,)) per image, in any order.

        An image that comes twice counts once.

        Raises:
            ValueError: If two images have the same key.
        """
        paths: dict[str, str] = {}
        found = {}
        for path, size, bboxes, scale_idx in images:
            key = claim_key(paths, path)
            found[key] = size, np.asarray(bboxes).reshape(-1, 4), np.asarray(scale_idx)
        keys = sorted(found)
        chips = [found[key][1] for key in keys]
        return cls(
            planner,
            min_proposals,
            keys,
            [found[key][0] for key in keys],
            [len(bboxes) for bboxes in chips],
            np.concatenate([np.zeros((0, 4), np.uint8), *chips]),
            np.concatenate([np.zeros(0, np.uint8), *(found[key][2] for key in keys)]),
            dataset,
            versions,
        )

    def __len__(self) -> int:
        return len(self.keys)

    def table(self, rows: NDArray[np.integer]) -> ChipTable:
        """The chips of some images, by (K,) row numbers; -1 stands for an image that was not mined, and has none."""
        first = self.start[rows]
        counts = np.where(rows >= 0, self.start[rows + 1] - first, 0)
        start = np.concatenate([[0], np.cumsum(counts)])
        image = np.repeat(np.arange(len(rows)), counts)
        chips = first[image] + np.arange(len(image)) - start[image]
        scale_idx = self.scale_idx[chips].astype(np.int64)
        sides = self.planner.windows_of_images(self.sizes[rows[image]])[1][np.arange(len(image)), scale_idx]
        return ChipTable(start, Chips(self.bboxes[chips].astype(np.float32), scale_idx, self.planner.chip_size / sides))

    def row(self, key: str) -> int:
        """Where an image stands in the pool, -1 if it was not mined."""
        return self._rows.get(key, -1)

    def chips(self, key: str) -> Chips | None:
        """The chips of one image, None if it was not mined."""
        row = self.row(key)
        return None if row < 0 else self.table(np.array([row])).chips

    def counts(self) -> NDArray[np.int64]:
        """Chips per image and scale, (I, S)."""
        n_scales = len(self.planner.scales)
        image = np.repeat(np.arange(len(self)), np.diff(self.start))
        flat = np.bincount(image * n_scales + self.scale_idx, minlength=len(self) * n_scales)
        return flat.reshape(-1, n_scales)

    def fingerprint(self) -> str:
        """Of the data set: the same for the same keys and image sizes, whatever was mined."""
        digest = hashlib.sha256('\n'.join(self.keys).encode())
        digest.update(self.sizes.astype('<i8').tobytes())
        return digest.hexdigest()[:16]

    def check_planner(self, planner: ChipPlanner, path: str) -> None:
        """Refuse to serve chips to a planner that would have chosen others.

        Args:
            planner: Who wants the chips.
            path: Names the pool in the message.

        Raises:
            ValueError: If scales, valid ranges, chip size or kind differ; names both sides.
        """
        theirs, ours = self.planner.settings, planner.settings
        differing = [name for name in {**theirs, **ours} if name != 'stride' and theirs.get(name) != ours.get(name)]
        if differing:
            sides = (', '.join(f'{name}={side[name]}' for name in differing if name in side) for side in (theirs, ours))
            raise ValueError(
                '{} was mined with {}, but the planner has {}: its chips would show objects and background at other '
                'sizes; {}, or use the same settings'.format(path, *sides, REMEDY)
            )

    def _check_chips(self) -> None:
        """Refuse chips that are no part of their image, or of no scale."""
        x1, y1, x2, y2 = self.bboxes.astype(np.int64).T.reshape(4, -1)
        width, height = np.repeat(self.sizes, np.diff(self.start), axis=0).T
        outside = (x1 < 0) | (y1 < 0) | (x2 > width) | (y2 > height) | (x1 >= x2) | (y1 >= y2)
        if outside.any():
            n = int(outside.argmax())
            raise ValueError(
                f'its chip {n}, {self.bboxes[n].tolist()}, is no part of its {width[n]} x {height[n]} image'
            )
        if (self.scale_idx >= len(self.planner.scales)).any():
            most = self.scale_idx.max()
            raise ValueError(f'a chip is of scale {most}, but there are {len(self.planner.scales)} scales')

    def save(self, path: str | Path) -> None:
        """Write one compressed file; whoever reads meanwhile, or after a kill, finds the old file or the new, whole."""
        path = Path(path)
        about = dict(
            format=FORMAT,
            planner=self.planner.settings,
            min_proposals=self.min_proposals,
            fingerprint=self.fingerprint(),
            dataset=self.dataset,
            versions=self.versions,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, 'wb') as file:
            np.savez_compressed(
                file,
                about=_as_bytes(json.dumps(about)),
                keys=_as_bytes('\n'.join(self.keys)),
                sizes=_smallest(self.sizes),
                counts=_smallest(np.diff(self.start)),
                bboxes=self.bboxes,
                scale_idx=self.scale_idx,
            )

    @classmethod
    def load(cls, path: str | Path) -> NegativePool:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not one of negative chips, or is damaged.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path} does not exist: {REMEDY.replace(" again", " it")}')
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(file['about'].tobytes())
                if about['format'] != FORMAT:
                    raise ValueError(f'its format is {about["format"]!r}, not {FORMAT!r}')
                if any(file[name].dtype.kind != 'u' for name in ('sizes', 'counts', 'bboxes', 'scale_idx')):
                    raise ValueError('its tables are not of whole numbers >= 0')
                names = file['keys'].tobytes().decode()
                pool = cls(
                    ChipPlanner(**about['planner']),
                    about['min_proposals'],
                    names.split('\n') if names else [],
                    file['sizes'],
                    file['counts'],
                    file['bboxes'],
                    file['scale_idx'],
                    about['dataset'],
                    about['versions'],
                )
            whole = len(pool) == len(pool.sizes) == len(pool.start) - 1
            if not whole or not pool.start[-1] == len(pool.bboxes) == len(pool.scale_idx):
                raise ValueError('its tables do not fit together')
            if pool.fingerprint() != about['fingerprint']:
                raise ValueError('its fingerprint does not fit its images')
            pool._check_chips()
        except Exception as error:  # a damaged file raises anything
            raise ValueError(f'{path} is not a file of negative chips, or is damaged ({error}); {REMEDY}') from error
        return pool


def image_key(img_path: str) -> str:
    """'<parent folder>/<file name>', as mmdet's ``DumpProposals`` names images: a moved data set keeps its keys."""
    folder, name = os.path.split(img_path)
    return f'{os.path.basename(folder)}/{name}' if folder else name


def claim_key(paths: dict[str, str], img_path: str) -> str:
    """The key of an image, noted in `paths` (key -> path), which changes.

    Raises:
        ValueError: If another image has the key already; names both.
    """
    key = image_key(img_path)
    if paths.setdefault(key, img_path) != img_path:
        raise ValueError(
            f'two images have the same key {key!r}, so their negative chips cannot be told apart: {paths[key]} and '
            f'{img_path}; rename one of the files or its folder'
        )
    return key


def _smallest(numbers: NDArray) -> NDArray:
    """Whole numbers >= 0 in the smallest unsigned type that holds them all."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _as_bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
