"""NegativeChipMiner: turns the proposals of a briefly trained RPN into negative chips, image by image (SNIPER, 3.3)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import mmdet
import mmengine
import numpy as np
from mmdet.structures.bbox import get_box_tensor
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ..chips import ChipPlanner, NegativePool, build_planner
from ..chips.planner import check_min_proposals
from ..chips.pool import claim_key
from ..registry import METRICS
from ..version import __version__

VERSIONS = dict(mmsniper=__version__, mmdet=mmdet.__version__, mmengine=mmengine.__version__)


@METRICS.register_module()
class NegativeChipMiner(BaseMetric):
    """A "metric" for mmdet's test loop: run an RPN over the *training* set with it, and it writes the negative chips.

    Each image is mined as it passes and only its chips are kept, so memory does not grow with the proposals. The file
    is written once, at the end, by the main process; :class:`~mmsniper.datasets.ChipDataset` reads it. Positive chips
    are those of the image's ground truth without crowds, planned without randomness.

    Every data sample needs ``pred_instances`` (``bboxes`` (P, 4), ``scores`` (P,)) and ``gt_instances`` (``bboxes``),
    both in the image frame, and the metainfo ``img_path`` and ``ori_shape``: the test pipeline loads the image, resizes
    it, and only then runs ``LoadAnnotations``, as mmdet's usual ones do.

    Args:
        planner: A :class:`~mmsniper.chips.ChipPlanner` or its arguments; those of the training to come.
        min_proposals: Least number of proposals that a chip must newly cover, one for all scales or one per scale.
            The paper's code: [26, 11, 11], finest scale first.
        out_file: Where the negative chips are written, '.npz'.
        max_proposals: Best proposals of an image that are looked at; None = all.
        collect_device: 'cpu' or 'gpu': how ranks hand over their chips.
        prefix: Stands before the names of the logged figures.

    Raises:
        ValueError: If an argument is malformed. While mining, if a data sample lacks ground truth, a box is not finite,
            or two images have the same '<parent folder>/<file name>'; names the images.
    """

    default_prefix = 'negative_chips'

    def __init__(
        self,
        planner: ChipPlanner | Mapping,
        min_proposals: int | Sequence[int],
        out_file: str,
        max_proposals: int | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.planner = build_planner(planner)
        self.min_proposals = check_min_proposals(min_proposals, len(self.planner.scales)).tolist()
        if not str(out_file).endswith('.npz'):
            raise ValueError(f"out_file must end with '.npz'; got {out_file!r}")
        if max_proposals is not None and max_proposals < 1:
            raise ValueError(f'max_proposals must be a whole number >= 1, or None for all; got {max_proposals!r}')
        self.out_file = str(out_file)
        self.max_proposals = max_proposals
        self._paths: dict[str, str] = {}
        if is_main_process():
            # Now, not after hours of proposals, is the time to learn that this is no place to write.
            os.makedirs(os.path.dirname(os.path.abspath(self.out_file)), exist_ok=True)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Mine a batch of images, of the dicts that mmengine's ``Evaluator`` makes of data samples."""
        if not self.results:
            self._paths.clear()
        for sample in data_samples:
            path = str(sample['img_path'])
            claim_key(self._paths, path)
            try:
                self.results.append((path, *self._mine(sample)))
            except ValueError as error:
                raise ValueError(f'{path}: {error}') from error

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the file and sum it up for the log.

        Args:
            results: (path, (width, height), bboxes (N, 4), scale_idx (N,)) per image, of all ranks.

        Returns:
            ``chips_per_image``, ``chips_per_image_scale_<s>`` for each scale, ``images``, ``images_without_chips``.
        """
        about = dict(classes=list((self.dataset_meta or {}).get('classes', ())))
        pool = NegativePool.build(self.planner, self.min_proposals, results, about, VERSIONS)
        pool.save(self.out_file)
        print_log(f'NegativeChipMiner: {self.out_file} has the negative chips of {len(pool)} images', 'current')
        counts = pool.counts()
        images = max(len(pool), 1)
        return {
            'chips_per_image': float(counts.sum() / images),
            **{f'chips_per_image_scale_{s}': float(n / images) for s, n in enumerate(counts.sum(axis=0))},
            'images': float(len(pool)),
            'images_without_chips': float((counts.sum(axis=1) == 0).sum()),
        }

    def _mine(self, sample: dict) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
        """Image size and negative chips, in small arrays of their own that keep nothing else alive."""
        if 'bboxes' not in sample.get('gt_instances', {}):
            raise ValueError(
                'it comes without ground truth, which tells what is no background: put LoadAnnotations into the test '
                'pipeline, after Resize'
            )
        height, width = sample['ori_shape'][:2]
        proposals = sample['pred_instances']
        bboxes = _to_numpy(proposals['bboxes'])
        if self.max_proposals is not None:
            bboxes = bboxes[np.argsort(-_to_numpy(proposals['scores']), kind='stable')[: self.max_proposals]]
        positives = self.planner.positive(_to_numpy(sample['gt_instances']['bboxes']), (width, height))
        chips = self.planner.negative(bboxes, (width, height), positives, self.min_proposals)
        return (int(width), int(height)), chips.bboxes.astype(np.uint32), chips.scale_idx.astype(np.uint8)


def _to_numpy(boxes: Any) -> np.ndarray:
    return boxes if isinstance(boxes, np.ndarray) else get_box_tensor(boxes).cpu().numpy()
