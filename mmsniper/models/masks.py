"""Instance masks without the memory: small patches until boxes are merged, run-length codes afterwards.

Shapes: P detections; H, W: height, width of the image; h, w of a patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from pycocotools import mask as coco_mask
from torch import Tensor, nn

# Pixels of a mask that are interpolated at a time.
STRIP_PIXELS = 2**22


class MaskPatch(NamedTuple):
    """A mask on a grid of its own.

    Attributes:
        values: (h, w) float in [0, 1]; where it exceeds the threshold there is object.
        bbox: (4,) float xyxy, image frame: where the grid's outer edges lie.
    """

    values: Tensor
    bbox: Tensor


class RLE(dict):
    """A mask as COCO writes it, ``{'size': [H, W], 'counts': bytes}``; indexed like an array, it is decoded."""

    def __getitem__(self, key: object) -> object:
        return super().__getitem__(key) if isinstance(key, str) else self.decode()[key]

    def decode(self) -> np.ndarray:
        """The mask as (H, W) uint8."""
        return coco_mask.decode(dict(self))


class EncodedMasks(Sequence):
    """Masks of an image's detections, a hundredth of the memory of a bool tensor (P, H, W).

    mmdet's metrics take it as it is; its visualizer and inferencer decode it through ``numpy`` and ``astype``.

    Args:
        rles: Masks of one image, as COCO writes them.
        image_size: (width, height) of the image, for it may have no masks.
    """

    def __init__(self, rles: Sequence[dict], image_size: tuple[int, int]) -> None:
        self.rles = [RLE(rle) for rle in rles]
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: int | slice) -> RLE | EncodedMasks:
        return EncodedMasks(self.rles[index], self.image_size) if isinstance(index, slice) else self.rles[index]

    @staticmethod
    def cat(parts: Sequence[EncodedMasks]) -> EncodedMasks:
        """Join several, as ``InstanceData.cat`` and its indexing ask."""
        return EncodedMasks([rle for part in parts for rle in part.rles], parts[0].image_size)

    def detach(self) -> EncodedMasks:
        """Itself: mmdet's LVIS metric asks for it, before it has all masks decoded."""
        return self

    def cpu(self) -> Tensor:
        """All masks decoded, (P, H, W) bool: mmdet's inferencer asks for it where there is no box."""
        return torch.from_numpy(self.astype(bool))

    def numpy(self) -> EncodedMasks:
        """Itself: iterated, it gives what mmdet's ``encode_mask_results`` reads, one decoded mask at a time."""
        return self

    def astype(self, dtype: np.dtype | type) -> np.ndarray:
        """All masks decoded: (P, H, W)."""
        width, height = self.image_size
        masks = np.empty((len(self), height, width), dtype)
        for mask, rle in zip(masks, self.rles, strict=True):
            mask[:] = rle.decode()
        return masks


def encode(patch: MaskPatch, image_size: tuple[int, int], threshold: float = 0.5) -> dict:
    """Lay a patch over the image's pixels and encode it; no array is larger than a strip of the box.

    Args:
        patch: The mask.
        image_size: (width, height) of the image.
        threshold: The object is where the interpolated value reaches it.

    Returns:
        COCO RLE of size [H, W].
    """
    width, height = image_size
    x1, y1, x2, y2 = patch.bbox.tolist()
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
    if right <= left or bottom <= top or x2 <= x1 or y2 <= y1:
        return _encode_runs(np.zeros((0, 2), np.int64), width, height)
    ys = _grid(top, bottom, y1, y2, patch.values.device)
    runs = []
    # A strip at a time: interpolating takes 20 bytes per pixel, and an object may be as large as the image.
    step = max(STRIP_PIXELS // (bottom - top), 1)
    for first in range(left, right, step):
        xs = _grid(first, min(first + step, right), x1, x2, patch.values.device)
        grid = torch.stack(torch.meshgrid(xs, ys, indexing='xy'), -1)[None].float()
        inside = F.grid_sample(patch.values[None, None].float(), grid, align_corners=False)[0, 0] >= threshold
        runs.append(_runs(inside, height) + first * height + top)
    return _encode_runs(np.concatenate(runs), width, height)


def _grid(first: int, last: int, low: float, high: float, device: torch.device) -> Tensor:
    """Centres of the pixels first to last - 1 in the coordinates of a patch, -1 to 1 from edge to edge."""
    return (torch.arange(first, last, device=device) + 0.5 - low) / (high - low) * 2 - 1


def _runs(inside: Tensor, height: int) -> np.ndarray:
    """First pixel and the one after the last of each run down a column, (R, 2) int64; a column has `height` pixels."""
    edges = F.pad(inside.T.to(torch.int8), (1, 1)).diff(dim=1)
    columns, starts = (edges == 1).nonzero(as_tuple=True)
    stops = (edges == -1).nonzero(as_tuple=True)[1]
    return (columns[:, None] * height + torch.stack([starts, stops], 1)).cpu().numpy()


def _encode_runs(runs: np.ndarray, width: int, height: int) -> dict:
    """RLE of runs of pixels, counted down the columns; (R, 2) int64, sorted."""
    edges, repeats = np.unique(runs, return_counts=True)
    # Where one run stops the next may start, at the foot of a column: they are one.
    counts = np.diff(edges[repeats == 1], prepend=0, append=width * height)
    counts = counts[: len(counts) - (counts[-1] == 0)]
    return coco_mask.frPyObjects(dict(size=[height, width], counts=counts.tolist()), height, width)


def crop_patches(masks: Tensor) -> list[MaskPatch]:
    """Pasted masks (P, H, W) as patches, each cropped to its object."""
    patches = []
    for mask in masks:
        ys, xs = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        if not len(ys):
            patches.append(MaskPatch(mask.new_zeros(1, 1, dtype=torch.float), mask.new_zeros(4, dtype=torch.float)))
            continue
        x1, y1, x2, y2 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
        bbox = torch.tensor([x1, y1, x2, y2], dtype=torch.float, device=mask.device)
        patches.append(MaskPatch(mask[y1:y2, x1:x2].clone(), bbox))
    return patches


@contextmanager
def unpasted_masks(detector: nn.Module) -> Iterator[None]:
    """Within, the FCN mask heads of a two-stage detector give (P, h, w) float probabilities instead of pasted masks.

    Boxes then stay in the view frame, where the detector leaves them for its mask head to rescale.
    """
    usual = FCNMaskHead.predict_by_feat
    heads = [head for head in detector.modules() if getattr(type(head), 'predict_by_feat', None) is usual]
    for head in heads:
        head.predict_by_feat = _probabilities  # hides the method of the class
    try:
        yield
    finally:
        for head in heads:
            del head.predict_by_feat


def _probabilities(
    mask_preds: Sequence[Tensor],
    results_list: list,
    batch_img_metas: list[dict],
    rcnn_test_cfg: object = None,
    rescale: bool = False,
    activate_map: bool = False,
) -> list:
    """Stands in for ``FCNMaskHead.predict_by_feat``."""
    for preds, results in zip(mask_preds, results_list, strict=True):
        preds = torch.as_tensor(preds, device=results.bboxes.device)
        rows = torch.arange(len(preds), device=preds.device)
        values = preds[rows, results.labels if preds.shape[1] > 1 else 0]  # first: LVIS has 1203 classes
        results.masks = values if activate_map else values.sigmoid()
    return results_list
