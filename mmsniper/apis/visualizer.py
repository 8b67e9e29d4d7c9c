"""Pictures of detections in images of any size.

Shapes: P detections; H, W: height, width of the image.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from ..models.masks import RLE, EncodedMasks

# Instances drawn at a time: each has a mask as large as the picture.
GROUP = 16


class LargeImageVisualizer(DetLocalVisualizer):
    """Draws predictions as mmdet does; large images, their boxes and masks are reduced first.

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
        """Draw the predictions of one image.

        Args:
            name: Of the picture.
            image: (H, W, 3) uint8, RGB.
            data_sample: With ``pred_instances`` in the frame of this image.
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
            if data_sample is not None and 'pred_instances' in data_sample:
                data_sample = data_sample.new()
                found = data_sample.pred_instances
                found = found[found.scores > pred_score_thr]
                data_sample.pred_instances = reduced(found, (width, height), size)
        with warnings.catch_warnings():
            # An object at the right or lower border is no mistake.
            warnings.filterwarnings('ignore', '.*is out of bounds')
            super().add_datasample(name, image, data_sample, pred_score_thr=pred_score_thr, **options)

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: list[str] | None, palette: list[tuple] | None
    ) -> np.ndarray:
        """The image with all instances, the first on top."""
        if 'masks' not in instances:
            return super()._draw_instances(image, instances, classes, palette)
        for first in reversed(range(0, len(instances), GROUP)):
            image = super()._draw_instances(image, instances[first : first + GROUP], classes, palette)
        return image


def reduced(instances: InstanceData, image_size: tuple[int, int], size: tuple[int, int]) -> InstanceData:
    """Detections in a reduced copy of their image.

    Args:
        instances: ``bboxes`` (P, 4), image frame, ``scores``, ``labels``, and ``masks`` if any.
        image_size: (width, height) of the image.
        size: (width, height) of the copy.
    """
    small = InstanceData(labels=instances.labels.cpu(), scores=instances.scores.cpu())
    bboxes = get_box_tensor(instances.bboxes).cpu()
    small.bboxes = bboxes * bboxes.new_tensor([size[0] / image_size[0], size[1] / image_size[1]]).repeat(2)
    if 'masks' in instances:
        small.masks = EncodedMasks([_reduced_mask(mask, size) for mask in instances.masks], size)
    return small


def _reduced_mask(mask: object, size: tuple[int, int]) -> dict:
    """RLE of a mask, RLE or tensor (H, W), in a copy of `size`; one decoded mask is in memory."""
    pixels = mask.decode() if isinstance(mask, RLE) else mask.cpu().numpy().astype(np.uint8)
    pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return coco_mask.encode(np.asfortranarray(pixels))
