"""Pictures of detections in images of any size.

Shapes: P detections; H, W: height, width of the image.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.structures.mask import BaseInstanceMasks
from mmdet.visualization import DetLocalVisualizer
from mmdet.visualization.palette import get_palette, jitter_color
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from torch import Tensor

from ..large_images import LargeImage
from ..models.masks import RLE, EncodedMasks

INSTANCES = ('pred_instances', 'gt_instances', 'ignored_instances')


class LargeImageVisualizer(DetLocalVisualizer):
    """Draws predictions and ground truth as mmdet does; large images, their boxes and masks are reduced first.

    Attributes:
        max_side: Longest side of a picture in pixels.
    """

    max_side = 2000

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        pred_score_thr: float = 0.3,
        **options: object,
    ) -> None:
        """Draw what an image's data sample holds.

        Args:
            name: Of the picture.
            image: (H, W, 3) uint8, RGB.
            data_sample: With ``pred_instances``, ``gt_instances`` or both in the frame of this image.
            pred_score_thr: Only detections with a higher score are drawn.
            **options: As ``DetLocalVisualizer.add_datasample`` takes them.

        Raises:
            ValueError: If the predictions are of an image of another size.
        """
        height, width = image.shape[:2]
        if data_sample is not None and tuple(data_sample.get('ori_shape', (height, width))[:2]) != (height, width):
            raise ValueError(
                f'{name}: the picture has {width} x {height} pixels, but its detections are of an image of '
                f'{data_sample.ori_shape[1]} x {data_sample.ori_shape[0]}; does LoadImageFromFile in the config ignore '
                'how the camera was held (color_type, imdecode_backend)?'
            )
        zoom = self.max_side / max(height, width)
        if zoom < 1:
            size = max(round(width * zoom), 1), max(round(height * zoom), 1)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            if data_sample is not None:
                data_sample = reduced_sample(data_sample, (width, height), size, pred_score_thr)
        with warnings.catch_warnings():
            # An object at the right or lower border is no mistake.
            warnings.filterwarnings('ignore', '.*is out of bounds')
            super().add_datasample(name, image, data_sample, pred_score_thr=pred_score_thr, **options)

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: list[str] | None, palette: list[tuple] | None
    ) -> np.ndarray:
        if 'masks' in instances and isinstance(instances.masks, EncodedMasks):
            instances = instances.new()
            labels = instances.labels.tolist()
            colours = get_palette(palette if self.mask_color is None else self.mask_color, max(labels, default=0) + 1)
            image = blended(image, instances.pop('masks'), [colours[label] for label in labels], self.alpha)
        return super()._draw_instances(image, instances, classes, palette)


def picture_of(
    path: str, data_sample: DetDataSample, max_side: int, pred_score_thr: float = 0.3
) -> tuple[np.ndarray, DetDataSample]:
    """A file's image, reduced as it is read where it is larger than `max_side`, and its detections likewise.

    Args:
        path: Of the file.
        data_sample: With ``pred_instances`` in the image frame.
        max_side: Longest side of the picture in pixels.
        pred_score_thr: Only detections with a higher score are kept.

    Returns:
        (H, W, 3) uint8, RGB, and a data sample in that picture's frame.
    """
    image = LargeImage(path)
    width, height = image.size
    zoom = min(max_side / max(width, height), 1)
    size = max(round(width * zoom), 1), max(round(height * zoom), 1)
    pixels = image.read((0, 0, width, height), size)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small = reduced_sample(data_sample, (width, height), size, pred_score_thr)
    small.set_metainfo(dict(ori_shape=size[::-1]))
    return np.ascontiguousarray(pixels[..., ::-1]), small


def blended(image: np.ndarray, masks: EncodedMasks, colours: list[tuple], alpha: float) -> np.ndarray:
    """A copy of the image with masks on it, the first on top.

    mmengine's ``draw_binary_masks`` does so, too, but takes all masks decoded, several times over.

    Args:
        image: (H, W, 3) uint8, RGB.
        masks: P masks.
        colours: P RGB colours, varied to tell objects apart.
        alpha: How little of the image shines through, 0 to 1.
    """
    image = image.copy()
    for mask, colour in reversed(list(zip(masks, colours, strict=True))):
        pixels = mask.decode()
        inside = pixels.astype(bool)
        image[inside] = (1 - alpha) * image[inside] + alpha * np.array(jitter_color(colour))
        edges, _ = cv2.findContours(np.ascontiguousarray(pixels), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, edges, -1, (255, 255, 255), 1)
    return image


def reduced_sample(
    data_sample: DetDataSample, image_size: tuple[int, int], size: tuple[int, int], pred_score_thr: float
) -> DetDataSample:
    """A copy with what is drawn in a reduced copy of the image, see :func:`reduced`."""
    data_sample = data_sample.new()
    for key in (key for key in INSTANCES if key in data_sample):
        shown = data_sample.get(key)
        # Most of the time is spent on masks: those that nobody will see are left out.
        shown = shown[shown.scores > pred_score_thr] if key == 'pred_instances' else shown
        setattr(data_sample, key, reduced(shown, image_size, size))
    return data_sample


def reduced(instances: InstanceData, image_size: tuple[int, int], size: tuple[int, int]) -> InstanceData:
    """Detections or ground truth in a reduced copy of their image.

    Args:
        instances: ``bboxes`` (P, 4), image frame, and ``masks``, of any kind that mmdet draws, if there are any.
        image_size: (width, height) of the image.
        size: (width, height) of the copy.

    Returns:
        A copy on the CPU; all but boxes and masks is as it was.
    """
    small = instances.cpu()
    if 'bboxes' in small:
        bboxes = get_box_tensor(small.bboxes).cpu()
        small.bboxes = bboxes * bboxes.new_tensor([size[0] / image_size[0], size[1] / image_size[1]]).repeat(2)
    if 'masks' in small:
        masks = small.masks
        if isinstance(masks, BaseInstanceMasks):
            small.masks = masks.resize(size[::-1])
        else:
            small.masks = EncodedMasks([_reduced_mask(mask, size) for mask in masks], size)
    return small


def _reduced_mask(mask: RLE | Tensor | np.ndarray, size: tuple[int, int]) -> dict:
    """RLE of a mask, RLE or (H, W), in a copy of `size`, the nearest pixels of it."""
    pixels = mask.decode() if isinstance(mask, RLE) else np.asarray(mask).astype(np.uint8)
    columns, rows = (
        ((np.arange(n) + 0.5) * length / n).astype(int) for n, length in zip(size, pixels.shape[::-1], strict=True)
    )
    return coco_mask.encode(
        np.asfortranarray(pixels.T[np.ix_(columns, rows)].T)
    )  # .T: COCO's masks lie column by column
