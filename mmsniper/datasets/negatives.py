"""Reads negative chips for a data set, and refuses those that were mined for something else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from ..chips import ChipPlanner, NegativePool
from ..chips.pool import REMEDY, claim_key


class DatasetNegatives:
    """The negative chips of a data set's images, by image index; an image that was not mined has none.

    Args:
        img_paths: Path of each image of the data set; an image may come several times.
        sizes: (I, 2), their (width, height).
        planner: The data set's planner.
        ann_file: What ``NegativeChipMiner`` or ``mmsniper mine`` wrote.
        per_image: Chips to draw per image and epoch.

    Attributes:
        table: The chips that there are to draw from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If ``per_image`` is not a whole number >= 1, the file is damaged, was mined with other scales, valid
            ranges or chip size, or on other images, or two images of the data set have the same key.
    """

    def __init__(
        self, img_paths: Sequence[str], sizes: np.ndarray, planner: ChipPlanner, ann_file: str, per_image: int = 2
    ) -> None:
        if isinstance(per_image, bool) or not isinstance(per_image, int) or per_image < 1:
            raise ValueError(f'negatives: per_image must be a whole number >= 1; got {per_image!r}')
        self.ann_file = ann_file
        self.per_image = per_image
        self.pool = NegativePool.load(ann_file)
        self.pool.check_planner(planner, ann_file)
        paths: dict[str, str] = {}
        keys = [claim_key(paths, path) for path in img_paths]
        self.rows = np.array([self.pool.row(key) for key in keys], np.int64)
        self._check_images(keys, sizes)
        self.table = self.pool.table(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def report(self) -> None:
        """Say once what there is to draw from, and which images are missing."""
        mined = self.rows[self.rows >= 0]
        counts = self.pool.counts().sum(axis=1)[mined]
        print_log(
            f'ChipDataset: {self.ann_file} has {counts.sum() / len(self):.2f} negative chips per image, '
            f'{int((counts == 0).sum())} images have none; up to {self.per_image} are drawn per image and epoch',
            logger='current',
        )
        missing = len(self) - len(mined)
        if missing:
            print_log(
                f'ChipDataset: {missing} of {len(self)} images are not in {self.ann_file} and get no negative chips; '
                + REMEDY,
                logger='current',
                level=30,
            )

    def _check_images(self, keys: list[str], sizes: np.ndarray) -> None:
        missing = [keys[n] for n in np.flatnonzero(self.rows < 0)]
        if 2 * len(missing) > len(keys):
            theirs = f'such as {self.pool.keys[0]!r}' if len(self.pool) else 'none'
            raise ValueError(
                f'{self.ann_file} was mined on another data set: it lacks {len(missing)} of the {len(keys)} images, '
                f'such as {missing[0]!r}; it has {len(self.pool)} images, {theirs}; {REMEDY}'
            )
        theirs = self.pool.sizes[self.rows]
        for n in np.flatnonzero((self.rows >= 0) & (theirs != sizes).any(axis=1)):
            raise ValueError(
                f'{self.ann_file} was mined on another data set: its image {keys[n]!r} has {theirs[n][0]} x '
                f'{theirs[n][1]} pixels, the annotation here says {sizes[n][0]} x {sizes[n][1]}; {REMEDY}'
            )
