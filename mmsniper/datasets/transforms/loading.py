"""Loading images that mmdet's LoadImageFromFile loads wrong, or not at all."""

from __future__ import annotations

from logging import WARNING
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.logging import print_log

from ...image_files import UnreadableImageError, load_checked
from ...registry import TRANSFORMS


class CheckedLoad:
    """A ``LoadImageFromFile`` whose errors are :class:`~mmsniper.image_files.UnreadableImageError` s.

    Args:
        load: The transform.
    """

    def __init__(self, load: LoadImageFromFile) -> None:
        self.load = load

    def __call__(self, results: dict) -> dict | None:
        """Load the image of ``img_path``."""
        return load_checked(self.load, results, results.get('img_path', 'an image'))

    def __repr__(self) -> str:
        return repr(self.load)


@TRANSFORMS.register_module()
class To8Bit(BaseTransform):
    """Map values 0..``max_value`` of an image loaded with ``color_type='unchanged'`` to 0..255, in three channels.

    For 16-bit files, whose upper 8 bits alone ``LoadImageFromFile`` keeps otherwise. Larger values become 255.

    Required Keys: img

    Modified Keys: img ((H, W, 3) uint8)

    Args:
        max_value: The largest value of the data: 4095 for 12 bits, 65535 for 16.

    Raises:
        ValueError: If ``max_value`` is not above 0.
    """

    def __init__(self, max_value: float) -> None:
        if not max_value > 0:
            raise ValueError(f'max_value is the largest value of the images, above 0; got {max_value!r}')
        self.max_value = max_value

    def transform(self, results: dict) -> dict:
        """Convert; see the class for the keys."""
        image = np.atleast_3d(results['img'])[..., :3]
        image = (image.clip(0, self.max_value) * (255 / self.max_value)).round().astype(np.uint8)
        results['img'] = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_value={self.max_value})'


@TRANSFORMS.register_module()
class LoadImageOrBlank(BaseTransform):
    """mmcv's ``LoadImageFromFile``; for a file that it cannot read, a grey image of the annotated size, in which an RPN
    finds little: how mining passes over what ``ChipDataset(on_bad_image='skip')`` skips.

    Required Keys: img_path, height, width

    Added Keys: img, img_shape, ori_shape

    Args:
        **options: As for ``LoadImageFromFile``.
    """

    def __init__(self, **options: Any) -> None:
        self.load = LoadImageFromFile(**options)

    def transform(self, results: dict) -> dict:
        """Load; see the class for the keys."""
        try:
            return load_checked(self.load, results, results['img_path'])
        except UnreadableImageError as error:
            print_log(f'Skipped: {error}', 'current', WARNING)
        shape = results['height'], results['width']
        results.update(img=np.full((*shape, 3), 114, np.uint8), img_shape=shape, ori_shape=shape)
        return results
