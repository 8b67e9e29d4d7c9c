"""ChipPipeline: a training pipeline in two parts, what is done once per image and what is done for every chip."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from logging import WARNING
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, PhotoMetricDistortion, RandomFlip, YOLOXHSVRandomAug
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose
from mmengine.logging import print_log

from ..chips import ChipKey, ChipPlanner
from .seeding import seeded
from .transforms import ChipSampler, LoadChipAnnotations, OpenImage, PackChipInputs, To8Bit
from .transforms.loading import CheckedLoad

# What gives the same for every chip of an image, as far as it is at the beginning of a pipeline. These very types: one
# derived from them may draw at random.
LOADING = LoadImageFromFile, OpenImage, LoadAnnotations, LoadChipAnnotations, To8Bit
# What may follow the cut if masks are to stay polygons; mmdet's other transforms bend them, or want bitmaps.
TAKE_POLYGONS = RandomFlip, PhotoMetricDistortion, YOLOXHSVRandomAug, PackChipInputs


class ChipPipeline(Compose):
    """Transforms that load an image, and those that make a sample of a chip of it.

    Args:
        transforms: Transforms or their configs: load, ``ChipSampler``, augment, ``PackChipInputs``.

    Attributes:
        keep_sizes: Whether nothing follows the cut that might read more than validity from ``gt_ignore_flags``, so that
            they may say how large an object is that the chip cuts.
        keep_polygons: Whether all that follows the cut takes polygons, as far as ``PackChipInputs``.
    """

    def __init__(self, transforms: Sequence) -> None:
        steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in transforms]
        super().__init__([CheckedLoad(step) if isinstance(step, LoadImageFromFile) else step for step in steps])
        n = next((n for n, step in enumerate(self.transforms) if not _loads(step)), len(steps))
        self._load, self._then = Compose(self.transforms[:n]), Compose(self.transforms[n:])
        kinds = [type(step) for step in self.transforms[n:]]
        # Another transform might write to what it gets, and the next chip would see that.
        self._shares = kinds[:1] == [ChipSampler]
        self.keep_sizes = {*kinds[1:]} <= {*TAKE_POLYGONS}
        self.keep_polygons = PackChipInputs in kinds and self.keep_sizes
        if kinds and not self._shares:
            print_log(
                f'ChipDataset: {kinds[0].__name__} stands before ChipSampler, so it runs anew, on a copy of the image, '
                'for every chip; put ChipSampler right behind what loads if you can',
                'current',
                WARNING,
            )

    @property
    def sampler(self) -> ChipSampler | None:
        """The transform that cuts chips."""
        return next((step for step in self.transforms if isinstance(step, ChipSampler)), None)

    def load(self, data_info: dict) -> dict | None:
        """What all chips of an image begin with; not to be changed.

        Args:
            data_info: Annotations of the image, as mmdet's data sets give them.
        """
        # Loaders may ignore more: objects whose mask is no polygon.
        planned = [n for n, one in enumerate(data_info.get('instances', [])) if not one.get('ignore_flag', 0)]
        loaded = self._load(data_info)
        if loaded is not None:
            loaded['planned'] = planned
            if self._shares:
                loaded.pop('instances', None)  # many small lists, which nobody needs any more
        return loaded

    def cut(self, loaded: dict, key: ChipKey, planner: ChipPlanner) -> dict | None:
        """A sample, a function of the image and the key alone.

        Args:
            loaded: By :meth:`load`.
            key: The chip.
            planner: Planned it.
        """
        results = dict(loaded) if self._shares else copy.deepcopy(loaded)
        planned = results.pop('planned')
        results.update(
            chip_seed=key.seed,
            chip=np.array(key.bbox, np.float32),
            scale_idx=key.scale_idx,
            chip_scale=key.scale,
            chip_planner=planner,
            elsewhere=[planned[n] for n in key.elsewhere],
            sample_idx=key.image_idx,
            keep_polygons=self.keep_polygons,
            keep_sizes=self.keep_sizes,
        )
        with seeded(key.seed):
            return self._then(results)


def _loads(step: Any) -> bool:
    """Whether a transform gives the same for every chip of an image."""
    return type(getattr(step, 'load', step)) in LOADING
