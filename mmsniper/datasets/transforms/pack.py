"""PackChipInputs: mmdet's PackDetInputs, with what the valid-range labels need."""

from __future__ import annotations

import cv2
import numpy as np
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures.bbox import get_box_tensor

from ...chips import box_sizes
from ...registry import TRANSFORMS
from .bitmaps import picked_bitmaps
from .flags import IGNORED, INVALID, VALID, split_flags

CHIP_META_KEYS = ('chip', 'chip_scale', 'scale_idx', 'valid_range')
DET_META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')


@TRANSFORMS.register_module()
class PackChipInputs(PackDetInputs):
    """Pack a chip for the network; the last transform of a pipeline with :class:`ChipSampler`.

    Beside what ``PackDetInputs`` packs, ``gt_instances.valid`` ((N,) bool tensor) tells valid objects from those seen
    at the wrong scale, ``gt_instances.sizes`` ((N,) float32 tensor) is sqrt(area) of each object in chip pixels, of the
    whole object where the chip cuts it. The metainfo has ``chip`` (tuple (x1, y1, x2, y2), image frame),
    ``chip_scale``, ``scale_idx`` and ``valid_range`` ((lo, hi) on sqrt(area), chip pixels), and ``gt_instances``
    carries ``valid_range`` as metainfo too, since assigners see instances only. Where :class:`MixChips` made one sample
    of C chips, ``valid_range`` is a list of C such pairs, ``gt_instances.chip_idx`` ((N,) int64 tensor) says which of
    them holds for an object, and the other keys are those of the first chip. Masks become ``BitmapMasks``.

    Args:
        meta_keys: What the metainfo keeps besides.

    Raises:
        ValueError: On a call, if no ``ChipSampler`` ran before it, or a transform between them zoomed the chip.
    """

    mapping_table = {
        **PackDetInputs.mapping_table,
        'gt_valid': 'valid',
        'gt_sizes': 'sizes',
        'gt_chip_idx': 'chip_idx',
    }

    def __init__(self, meta_keys: tuple[str, ...] = DET_META_KEYS) -> None:
        super().__init__(meta_keys=tuple(dict.fromkeys((*meta_keys, *CHIP_META_KEYS))))

    def transform(self, results: dict) -> dict:
        """Pack; see the class."""
        if 'valid_range' not in results:
            raise ValueError('PackChipInputs needs a chip: put ChipSampler before it in the pipeline')
        # Transforms that move pixels record how; whatever zooms leaves objects of other sizes than their range says.
        zoom = abs(np.linalg.det(results.get('homography_matrix', np.eye(3))[:2, :2]))
        if abs(zoom - 1) > 1e-3:
            raise ValueError(
                f'a transform behind ChipSampler zooms the chip (by {zoom**0.5:.3g}), so the valid range no longer '
                "fits: take out Resize or RandomAffine's scaling, and set the planner's scales instead"
            )
        flags = np.asarray(results.get('gt_ignore_flags', np.zeros(len(results.get('gt_bboxes', ())))))
        kinds, chip_idx, sizes = split_flags(flags)
        # mmdet packs flags 0 and 1 only; invalid objects go with the ground truth.
        boxes = results.get('gt_bboxes', np.zeros((len(flags), 4)))
        shown = box_sizes(np.asarray(boxes if isinstance(boxes, np.ndarray) else get_box_tensor(boxes)))
        results = {
            **results,
            'gt_valid': kinds == VALID,
            'gt_sizes': np.where(sizes > 0, sizes, shown).astype(np.float32),
            'gt_ignore_flags': np.where(kinds == INVALID, VALID, kinds),
        }
        # No array: torch.compile cannot copy one, and mmdet's detectors copy their data samples.
        results['chip'] = tuple(np.asarray(results['chip']).tolist())
        if isinstance(results['valid_range'], list):
            results['gt_chip_idx'] = chip_idx
        if 'img' in results:
            results['img'] = channels_first(results['img'])
        masks = results.pop('gt_masks', None)
        packed = super().transform(results)
        sample = packed['data_samples']
        if masks is not None:
            for instances, flag in ((sample.gt_instances, VALID), (sample.ignored_instances, IGNORED)):
                instances.masks = picked_bitmaps(masks, np.flatnonzero(results['gt_ignore_flags'] == flag))
        sample.gt_instances.set_metainfo(dict(valid_range=results['valid_range']))
        return packed


def channels_first(image: np.ndarray) -> np.ndarray:
    """The same image, (H, W, C) uint8 or float32, laid out channel by channel, as ``PackDetInputs`` wants it.

    OpenCV takes images apart several times as fast as NumPy or torch do.
    """
    if image.ndim < 3 or image.shape[2] == 1:
        return image
    if image.strides[1] < 0:  # mirrored by RandomFlip, so far only in name
        image = cv2.flip(image[:, ::-1], 1)
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(np.ascontiguousarray(image), list(planes))
    return planes.transpose(1, 2, 0)
