"""ChipDataset: any mmdet detection data set, seen chip by chip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from logging import WARNING

import numpy as np
import torch
from mmdet.datasets import MultiImageMixDataset
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..chips import ChipKey, ChipKind, ChipPlan, ChipPlanner, build_planner, scale_name
from ..chips.compiled import is_cold
from ..chips.labels import assign_best_chips
from ..image_files import UnreadableImageError
from ..registry import DATASETS
from .annotations import build_checked, collector_paused, loads_masks, report_left_out
from .boxes import classes_of, read_boxes
from .chip_pipeline import ChipPipeline
from .image_cache import ImageCache
from .negatives import DatasetNegatives
from .reports import report_plan
from .transforms import ChipSampler
from .transforms.open_image import say_if_large

# So many take seconds to plan.
MANY_IMAGES = 50_000
# With on_bad_image='skip': tries before it gives up, and names in one message.
MOST_SKIPPED, MOST_NAMED = 100, 50


@DATASETS.register_module()
class ChipDataset(Dataset):
    """Wraps a detection data set; its samples are the chips of an epoch's plan.

    ``dataset[key]`` with a :class:`~mmsniper.chips.ChipKey` (as :class:`ChipPlanSampler` yields them) cuts that chip,
    whatever epoch a worker thinks it is in. ``dataset[n]`` cuts chip n of the current plan, for tools that browse.

    Args:
        dataset: An mmdet detection data set or its config; ``RepeatDataset``, ``ClassBalancedDataset`` and
            ``ConcatDataset`` may wrap it. Its own pipeline is not run.
        planner: A :class:`~mmsniper.chips.ChipPlanner` or its arguments; with ``type='PyramidPlanner'``,
            :class:`~mmsniper.chips.PyramidPlanner`'s. The pipeline's :class:`ChipSampler` gets this
            one, so chip parameters stand once in a config.
        pipeline: Transforms: load, ``ChipSampler``, augment, ``PackChipInputs``.
        empty_chips: Random chips per epoch from each image that has no other: no usable ground truth, and no negative
            chip.
        negatives: Where negative chips come from: ``ann_file``, what :class:`~mmsniper.mining.NegativeChipMiner` wrote,
            and ``per_image`` (2), how many are drawn at random per image and epoch. None = no negative chips.
        assign: 'every_chip': an object is valid in each chip of its scales that shows enough of it; or 'best_chip', the
            authors' rule: per scale in one chip, the one that shows most of it.
        on_bad_image: 'raise', or 'skip' files that cannot be read: other chips, drawn by the chip's seed, take the
            place of theirs. Each is named when it is found, and all by :class:`~mmsniper.hooks.DataCheckHook` after
            each epoch.
        cache_mb: Megabytes of loaded images that each worker may keep for chips still to come, where
            :class:`ChipBatchSampler` orders them. 0 = none: every chip loads its image.

    Raises:
        TypeError: If ``dataset`` gives no annotations per image, or ``negatives`` has other settings.
        FileNotFoundError: If the file of negative chips is missing.
        ValueError: If it has no image or no object, an image has no size, a box is not finite, ``empty_chips`` is
            or ``cache_mb`` is negative, or the negative chips were mined with another planner or on another data set.
        RuntimeError: On indexing, if a transform fails; the message names the image and the chip.
    """

    def __init__(
        self,
        dataset: Dataset | dict,
        planner: ChipPlanner | dict,
        pipeline: Sequence = (),
        empty_chips: int = 1,
        negatives: dict | None = None,
        on_bad_image: str = 'raise',
        cache_mb: float = 1024,
        assign: str = 'every_chip',
    ) -> None:
        if assign not in ('every_chip', 'best_chip'):
            raise ValueError(f"assign is 'every_chip' or 'best_chip'; got {assign!r}")
        if isinstance(empty_chips, bool) or not isinstance(empty_chips, int) or empty_chips < 0:
            raise ValueError(f'empty_chips must be a whole number >= 0; got {empty_chips!r}')
        if on_bad_image not in ('raise', 'skip'):
            raise ValueError(f"on_bad_image is 'raise' or 'skip'; got {on_bad_image!r}")
        if isinstance(cache_mb, bool) or not isinstance(cache_mb, (int, float)) or not 0 <= cache_mb < 2**30:
            raise ValueError(f'cache_mb is a number of megabytes per worker, >= 0; got {cache_mb!r}')
        self.on_bad_image, self.assign = on_bad_image, assign
        self.pipeline = ChipPipeline(pipeline)
        self.image_cache = ImageCache(int(cache_mb * 2**20))
        with_masks = loads_masks(self.pipeline.transforms)
        self.dataset = build_checked(dataset, with_masks) if isinstance(dataset, dict) else dataset
        if isinstance(self.dataset, MultiImageMixDataset) or not hasattr(self.dataset, 'get_data_info'):
            raise TypeError(
                f'ChipDataset cannot wrap {type(self.dataset).__name__}: it cuts chips from single annotated images; '
                'mix the chips instead: MultiImageMixDataset(dataset=dict(type="mmsniper.ChipDataset", ...)) with '
                'mmsniper.MixChips'
            )
        with collector_paused():
            self.dataset.full_init()
        self.planner = build_planner(planner)
        self.empty_chips = empty_chips
        report_left_out(self.dataset, with_masks)
        self.table, self.n_regions, img_paths = read_boxes(self.dataset)
        say_if_large(self.pipeline.transforms, self.table.sizes)
        self.negatives = DatasetNegatives(img_paths, self.table.sizes, self.planner, **negatives) if negatives else None
        if self.negatives:
            self.negatives.report()
        self.last_key: ChipKey | None = None  # what was cut last; transforms that mix chips draw partners by its seed
        # Shared with the workers, which find out.
        self._bad = torch.zeros(len(self.table), dtype=torch.uint8).share_memory_()
        self._n_bad_reported = 0
        self._times_by_number = 0
        self._reported = False
        self._planners: dict[tuple[int, float], ChipPlanner] = {}

    @property
    def metainfo(self) -> dict:
        """The wrapped data set's meta information (classes, palette)."""
        return self.dataset.metainfo

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""
        return classes_of(self.dataset)

    def full_init(self) -> None:
        """Nothing left to do; mmengine's runner and wrappers call it."""

    @cached_property
    def current_plan(self) -> ChipPlan:
        """The plan that numbers refer to: what :class:`ChipPlanSampler` set last, else the first one of seed 0."""
        return self.plan(epoch=0)

    def planner_of(self, chip_size: int | None, zoom: float = 1.0) -> ChipPlanner:
        """The planner, or one for chips of another size, as a :class:`~mmsniper.chips.ChipKey` says it."""
        if zoom == 1 and chip_size in (None, self.planner.chip_size):
            return self.planner
        if (chip_size, zoom) not in self._planners:
            self._planners[chip_size, zoom] = self.planner.resized(chip_size, zoom)
        return self._planners[chip_size, zoom]

    def plan(self, epoch: int, seed: int = 0, chip_sizes: Sequence[int] = ()) -> ChipPlan:
        """All chips of one epoch: a pure function of (seed, epoch), the same on every rank and in every run.

        Args:
            epoch: Number of the epoch, from 0.
            seed: Seed of the run.
            chip_sizes: Sides in network pixels, to plan every image for each of; none = the planner's.
        """
        if chip_sizes:
            return ChipPlan.join({side: self._plan(self.planner_of(side), epoch, seed) for side in chip_sizes})
        if not self._reported and is_cold():
            print_log('ChipDataset: compiling the planner, half a minute, once on this machine', logger='current')
        elif len(self.table) > MANY_IMAGES and not self._reported:
            print_log(f'ChipDataset: planning {len(self.table)} images', logger='current')
        plan = self._plan(self.planner, epoch, seed)
        if not self._reported:
            self._reported = True
            report_plan(plan, self.planner, self.table, self.n_regions, negatives=self.negatives is not None)
        return plan

    def _plan(self, planner: ChipPlanner, epoch: int, seed: int) -> ChipPlan:
        pool, per_image = (self.negatives.table, self.negatives.per_image) if self.negatives else (None, 0)
        if pool is not None and planner is not self.planner:
            pool = pool.refitted(planner, self.table.sizes)
        plan = ChipPlan.draw(planner, self.table, seed, epoch, self.empty_chips, pool, per_image)
        if self.assign == 'best_chip':
            sampler = self.pipeline.sampler or ChipSampler()
            plan = assign_best_chips(planner, self.table, plan, sampler.min_visible, sampler.min_side)
        return plan

    def __len__(self) -> int:
        return len(self.current_plan)

    def __getitem__(self, key: ChipKey | int) -> dict:
        if not isinstance(key, ChipKey):
            self._count_number()
            key = self.current_plan.key(key)
        rng = None
        for _ in range(MOST_SKIPPED):
            try:
                return self._cut(key)
            except UnreadableImageError as error:
                if self.on_bad_image == 'raise':
                    raise RuntimeError(f'{error} ({self._name(key)})') from error
                if not self._bad[key.image_idx]:
                    print_log(f'Skipped: {error}', 'current', WARNING)
                self._bad[key.image_idx] = 1
                last = error
            rng = rng or np.random.default_rng((key.seed, 2))
            key = self.draw_key(rng, key)
        raise RuntimeError(f'{MOST_SKIPPED} images in a row: {last}; is data_prefix right?') from last

    def _cut(self, key: ChipKey) -> dict:
        """The chip of a key, through the pipeline."""
        self.last_key = key
        try:
            loaded = self.image_cache.get(key, lambda: self.pipeline.load(self.dataset.get_data_info(key.image_idx)))
            results = loaded and self.pipeline.cut(loaded, key, self.planner_of(key.chip_size, key.zoom))
        except UnreadableImageError:
            raise
        except Exception as error:
            raise RuntimeError(f'{self._where(key)}: {type(error).__name__}: {error}') from error
        if results is None:
            raise RuntimeError(
                f'{self._where(key)}: a transform returned None, which drops the sample; keep chips without ground '
                'truth (FilterAnnotations: keep_empty=False) and LoadImageFromFile strict (ignore_empty=False)'
            )
        return results

    def _where(self, key: ChipKey) -> str:
        path = self.dataset.get_data_info(key.image_idx).get('img_path', f'image {key.image_idx}')
        return f'{path}, {self._name(key)}'

    def _name(self, key: ChipKey) -> str:
        return f'chip {key.bbox} of scale {scale_name(self.planner.scales[key.scale_idx])}'

    def report_skipped(self) -> None:
        """Say which images ``on_bad_image='skip'`` has skipped so far on any rank, if there are new ones."""
        if self.on_bad_image != 'skip':
            return
        bad = self._bad.clone()
        all_reduce(bad, 'max')
        skipped = bad.nonzero()[:, 0].tolist()
        if len(skipped) > self._n_bad_reported:
            self._n_bad_reported = len(skipped)
            names = [self.dataset.get_data_info(idx).get('img_path', f'image {idx}') for idx in skipped[:MOST_NAMED]]
            print_log(
                f'ChipDataset: {len(skipped)} of {len(self.table)} images cannot be read; other chips took the place '
                f'of theirs: {", ".join(names)}' + (', ...' if len(skipped) > MOST_NAMED else ''),
                logger='current',
                level=WARNING,
            )

    def draw_key(self, rng: np.random.Generator, like: ChipKey) -> ChipKey:
        """A random chip of a random image, for transforms that mix chips: one of its positive chips if it has any.

        Args:
            rng: Source of randomness.
            like: A chip of the same size.
        """
        planner = self.planner_of(like.chip_size, like.zoom)
        image_idx = int(rng.integers(len(self.table)))
        bboxes, size = self.table.image(image_idx)
        chips, kind = planner.positive(bboxes, size, rng), ChipKind.POSITIVE
        if not len(chips):
            chips, kind = planner.random(size, 1, rng), ChipKind.RANDOM
        n = int(rng.integers(len(chips)))
        seeds = rng.integers(2**32, size=1)
        key = ChipPlan(np.array([image_idx]), chips.take(np.array([n])), seeds, np.array([kind])).key(0)
        return key._replace(chip_size=like.chip_size, zoom=like.zoom)

    def get_data_info(self, key: ChipKey | int) -> dict:
        """Annotations of the image that a chip, or chip n of the current plan, is cut from."""
        image_idx = key.image_idx if isinstance(key, ChipKey) else int(self.current_plan.image_idx[key])
        return self.dataset.get_data_info(image_idx)

    def get_cat_ids(self, key: ChipKey | int) -> list[int]:
        """Labels in the image that a chip, or chip n of the current plan, is cut from."""
        return [instance['bbox_label'] for instance in self.get_data_info(key)['instances']]

    def _count_number(self) -> None:
        """Notice a loader that trains on numbers: it would see the first plan's chips for ever."""
        self._times_by_number += 1
        if self._times_by_number == len(self.current_plan) + 1:
            print_log(
                'ChipDataset: chips are asked for by number, again and again, so every epoch has the same ones; set '
                "train_dataloader.sampler=dict(_delete_=True, type='mmsniper.ChipPlanSampler')",
                logger='current',
                level=WARNING,
            )
