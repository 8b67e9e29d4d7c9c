"""ChipDataset: any mmdet detection data set, seen chip by chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from logging import WARNING

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import MultiImageMixDataset
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ..chips import BoxTable, ChipKey, ChipKind, ChipPlan, ChipPlanner, build_planner
from ..chips.compiled import is_cold
from ..image_files import UnreadableImageError
from ..registry import DATASETS
from .annotations import build_checked, image_boxes, loads_masks, report_left_out
from .negatives import DatasetNegatives
from .seeding import seeded
from .transforms.loading import CheckedLoad

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
        on_bad_image: 'raise', or 'skip' files that cannot be read: other chips, drawn by the chip's seed, take the
            place of theirs. Each is named when it is found, and all by :class:`~mmsniper.hooks.DataCheckHook` after
            each epoch.

    Raises:
        TypeError: If ``dataset`` gives no annotations per image, or ``negatives`` has other settings.
        FileNotFoundError: If the file of negative chips is missing.
        ValueError: If it has no image or no object, an image has no size, a box is not finite, ``empty_chips`` is
            negative, or the negative chips were mined with another planner or on another data set.
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
    ) -> None:
        if isinstance(empty_chips, bool) or not isinstance(empty_chips, int) or empty_chips < 0:
            raise ValueError(f'empty_chips must be a whole number >= 0; got {empty_chips!r}')
        if on_bad_image not in ('raise', 'skip'):
            raise ValueError(f"on_bad_image is 'raise' or 'skip'; got {on_bad_image!r}")
        self.on_bad_image = on_bad_image
        steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        self.pipeline = Compose([CheckedLoad(step) if isinstance(step, LoadImageFromFile) else step for step in steps])
        with_masks = loads_masks(self.pipeline.transforms)
        self.dataset = build_checked(dataset, with_masks) if isinstance(dataset, dict) else dataset
        if isinstance(self.dataset, MultiImageMixDataset) or not hasattr(self.dataset, 'get_data_info'):
            raise TypeError(
                f'ChipDataset cannot wrap {type(self.dataset).__name__}: it cuts chips from single annotated images; '
                'mix the chips instead: MultiImageMixDataset(dataset=dict(type="mmsniper.ChipDataset", ...)) with '
                'mmsniper.MixChips'
            )
        self.dataset.full_init()
        self.planner = build_planner(planner)
        self.empty_chips = empty_chips
        report_left_out(self.dataset, with_masks)
        self.table, img_paths = self._build_table()
        self.negatives = DatasetNegatives(img_paths, self.table.sizes, self.planner, **negatives) if negatives else None
        if self.negatives:
            self.negatives.report()
        self.last_key: ChipKey | None = None  # what was cut last; transforms that mix chips draw partners by its seed
        # Shared with the workers, which find out.
        self._bad = torch.zeros(len(self.table), dtype=torch.uint8).share_memory_()
        self._n_bad_reported = 0
        self._current_plan: ChipPlan | None = None
        self._times_by_number = 0
        self._reported = False

    @property
    def metainfo(self) -> dict:
        """The wrapped data set's meta information (classes, palette)."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Nothing left to do; mmengine's runner and wrappers call it."""

    @property
    def current_plan(self) -> ChipPlan:
        """The plan that numbers refer to: what :class:`ChipPlanSampler` set last, else the first one of seed 0."""
        if self._current_plan is None:
            self._current_plan = self.plan(epoch=0)
        return self._current_plan

    @current_plan.setter
    def current_plan(self, plan: ChipPlan) -> None:
        self._current_plan = plan

    def plan(self, epoch: int, seed: int = 0) -> ChipPlan:
        """All chips of one epoch: a pure function of (seed, epoch), the same on every rank and in every run.

        Args:
            epoch: Number of the epoch, from 0.
            seed: Seed of the run.
        """
        if is_cold() and not self._reported:
            print_log('ChipDataset: compiling the planner, half a minute, once on this machine', logger='current')
        per_image = self.negatives.per_image if self.negatives else 0
        plan = ChipPlan.draw(self.planner, self.table, seed, epoch, self.empty_chips, self.negatives, per_image)
        if not self._reported:
            self._report(plan)
        return plan

    def __len__(self) -> int:
        return len(self.current_plan)

    def __getitem__(self, key: ChipKey | int) -> dict:
        if not isinstance(key, ChipKey):
            self._count_number()
            key = self.current_plan.key(key)
        rng = np.random.default_rng((key.seed, 2))
        for _ in range(MOST_SKIPPED):
            try:
                return self._cut(key)
            except UnreadableImageError as error:
                if self.on_bad_image == 'raise':
                    raise RuntimeError(f'{error} (chip {key.bbox} of scale {key.scale_idx})') from error
                if not self._bad[key.image_idx]:
                    print_log(f'Skipped: {error}', 'current', WARNING)
                self._bad[key.image_idx] = 1
                last = error
            key = self.draw_key(rng)
        raise RuntimeError(f'{MOST_SKIPPED} images in a row: {last}; is data_prefix right?') from last

    def _cut(self, key: ChipKey) -> dict:
        """The chip of a key, through the pipeline."""
        self.last_key = key
        results = self.dataset.get_data_info(key.image_idx)
        results.update(
            chip_seed=key.seed,
            chip=np.array(key.bbox, np.float32),
            scale_idx=key.scale_idx,
            chip_scale=key.scale,
            chip_planner=self.planner,
            sample_idx=key.image_idx,
        )
        where = f'{results.get("img_path", f"image {key.image_idx}")}, chip {key.bbox} of scale {key.scale_idx}'
        try:
            with seeded(key.seed):
                results = self.pipeline(results)
        except UnreadableImageError:
            raise
        except Exception as error:
            raise RuntimeError(f'{where}: {type(error).__name__}: {error}') from error
        if results is None:
            raise RuntimeError(
                f'{where}: a transform returned None, which drops the sample; keep chips without ground truth '
                '(FilterAnnotations: keep_empty=False) and LoadImageFromFile strict (ignore_empty=False)'
            )
        return results

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

    def draw_key(self, rng: np.random.Generator) -> ChipKey:
        """A random chip of a random image, for transforms that mix chips: one of its positive chips if it has any.

        Args:
            rng: Source of randomness.
        """
        image_idx = int(rng.integers(len(self.table)))
        bboxes, size = self.table.image(image_idx)
        chips, kind = self.planner.positive(bboxes, size, rng), ChipKind.POSITIVE
        if not len(chips):
            chips, kind = self.planner.random(size, 1, rng), ChipKind.RANDOM
        n = int(rng.integers(len(chips)))
        seeds = rng.integers(2**32, size=1)
        return ChipPlan(np.array([image_idx]), chips.take(np.array([n])), seeds, np.array([kind])).key(0)

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

    def _build_table(self) -> tuple[BoxTable, list[str]]:
        if len(self.dataset) == 0:
            raise ValueError(f'{type(self.dataset).__name__} has no image: check ann_file and filter_cfg')
        self.n_crowd = 0
        img_paths = []

        def images() -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
            for idx in range(len(self.dataset)):
                data_info = self.dataset.get_data_info(idx)
                bboxes, crowd, size = image_boxes(data_info)
                img_paths.append(data_info.get('img_path', f'image {idx}'))
                self.n_crowd += int(crowd.sum())
                yield bboxes[~crowd], size

        table = BoxTable.build(images())
        if not len(table.bboxes):
            raise ValueError(
                f'none of the {len(table)} images has an object of the classes {self.metainfo.get("classes")}: the '
                'annotation file has no annotations of them, or all were left out (the log says why)'
            )
        return table, img_paths

    def _report(self, plan: ChipPlan) -> None:
        """Say once what will be learnt from, and what is left out."""
        unusable = unreachable = 0
        for idx in range(len(self.table)):
            boxes, size = self.table.image(idx)
            valid, planned = self.planner.assign(boxes, size)
            unusable += int((~valid.any(axis=0)).sum())
            unreachable += int((valid.any(axis=0) & ~planned.any(axis=0)).sum())
        self._reported = True
        chips = plan.chips
        per_scale = np.bincount(chips.scale_idx, minlength=len(self.planner.scales)) / len(self.table)
        negative = int((plan.kind == ChipKind.NEGATIVE).sum())
        empty = int((np.diff(self.table.start) == 0).sum())
        print_log(
            f'ChipDataset: {len(self.table)} images ({empty} without objects), {len(self.table.bboxes)} objects, '
            f'{self.n_crowd} ignored regions; {len(chips) / len(self.table):.2f} chips per image and epoch, by scale '
            + ' + '.join(f'{n:.2f}' for n in per_scale)
            + (f', {negative / len(self.table):.2f} of them negative' if self.negatives else ''),
            logger='current',
        )
        if unusable:
            print_log(f'ChipDataset: {unusable} objects have a side under 2 px; no chip is planned for them', 'current')
        if unreachable:
            print_log(
                f'ChipDataset: {unreachable} objects are larger than a chip at every scale and are only seen in parts; '
                f'add a coarser scale such as ({self.planner.chip_size}, {self.planner.chip_size})',
                logger='current',
                level=WARNING,
            )
