"""OpenImage: in place of LoadImageFromFile, for images much larger than a chip."""

from __future__ import annotations

from collections.abc import Sequence
from logging import WARNING

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ...large_images import LARGE, LargeImage
from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class OpenImage(BaseTransform):
    """Read an image's header, and leave its pixels to :class:`ChipSampler` or ``MultiScaleChipTTA``.

    Nothing that needs pixels may stand between them: augment behind ``ChipSampler``.

    Required Keys: img_path

    Added Keys: large_image (a :class:`~mmsniper.large_images.LargeImage`), img_shape, ori_shape; height and width, if
    the annotation does not say them

    TIFF files need the libraries tifffile and, unless they are uncompressed or deflate, imagecodecs.

    Args:
        backend_args: Of ``LoadImageFromFile``, so that the one can take the place of the other; files must lie on this
            machine.

    Raises:
        ValueError: If ``backend_args`` names a place that is not this machine.
        UnreadableImageError: On a call, if the file is no image.
        DeepImageError: On a call, if it has more than 8 bits per channel.
        ImportError: On a call, if a library is missing; names it.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        backend = (backend_args or {}).get('backend', 'local')
        if backend not in ('local', 'disk'):
            raise ValueError(
                f'OpenImage reads parts of files, which must lie on this machine; got backend {backend!r}: copy them, '
                'or use LoadImageFromFile'
            )
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Open; see the class for the keys."""
        image = LargeImage(results['img_path'])
        width, height = image.size
        results.update(large_image=image, img_shape=(height, width), ori_shape=(height, width))
        results.setdefault('width', width)
        results.setdefault('height', height)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def say_if_large(steps: Sequence, sizes: np.ndarray) -> None:
    """Say which line spares decoding whole images, where they are large and the pipeline does.

    Args:
        steps: A training pipeline's transforms.
        sizes: (n, 2), width and height of the images.
    """
    pixels = np.asarray(sizes, np.int64).reshape(-1, 2).prod(axis=1)
    if (pixels > LARGE).any() and not any(isinstance(step, OpenImage) for step in steps):
        width, height = sizes[int(pixels.argmax())]
        print_log(
            f'ChipDataset: {int((pixels > LARGE).sum())} images have more than {LARGE // 10**6} million pixels, the '
            f'largest {width} x {height}, and are decoded whole for their chips; write '
            "dict(type='mmsniper.OpenImage') in place of LoadImageFromFile in train_pipeline and tta_pipeline, and "
            'keep them as tiled TIFF (pip install tifffile imagecodecs)',
            'current',
            WARNING,
        )
