"""Which files of a folder are images, and loading that says which image is wrong and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmdet.apis.det_inferencer import IMG_EXTENSIONS

from ..datasets import OpenImage
from ..image_files import load_checked


def image_files(folder: str | Path) -> tuple[list[Path], int]:
    """Images directly in a folder, by their extension, sorted by name, and the number of its other files.

    Raises:
        ValueError: If there is no image.
    """
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    images = [path for path in files if path.suffix.lower() in IMG_EXTENSIONS]
    if not images:
        raise ValueError(
            f'{folder}: no images among {len(files)} files; name a folder that holds them itself, as '
            f'{" ".join(IMG_EXTENSIONS)}'
        )
    return images, len(files) - len(images)


class CheckedLoader:
    """An mmdet ``InferencerLoader`` whose errors name the image.

    Args:
        load: The loader.
    """

    def __init__(self, load: Callable[[object], dict]) -> None:
        self.load = load

    def __call__(self, inputs: str | np.ndarray | dict) -> dict:
        """Load one image.

        Args:
            inputs: A path or URL, an array (H, W, 3) uint8 in BGR order, or a dict with ``img_path`` or ``img``.

        Raises:
            UnreadableImageError: If the file is no image.
            DeepImageError: If it has 16 bits per channel that would be read as 8.
            ValueError: If the array is of another kind.
        """
        image = inputs.get('img', inputs.get('img_path')) if isinstance(inputs, dict) else inputs
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ValueError(
                    f'an image given as an array is (H, W, 3) uint8 in BGR order; got {image.shape} {image.dtype}'
                )
            results = self.load(inputs)
            # It is None: mmdet would name what it saves after it.
            results.pop('img_path', None)
            return results
        return load_checked(self.load, inputs, image)


class Opener:
    """Opens files and loads arrays: what ``OpenImage`` is to a data set's pipeline.

    Args:
        open_image: The transform.
        load: For arrays.
    """

    def __init__(self, open_image: OpenImage, load: CheckedLoader) -> None:
        self.open_image, self.load = open_image, load

    def __call__(self, inputs: str | np.ndarray | dict) -> dict:
        """Open one image.

        Args:
            inputs: As for :class:`CheckedLoader`; paths are of files of this machine.

        Raises:
            UnreadableImageError: If the file is no image.
            DeepImageError: If it has 16 bits per channel.
            ValueError: If an array is of another kind.
        """
        if isinstance(inputs, np.ndarray) or (isinstance(inputs, dict) and 'img' in inputs):
            return self.load(inputs)
        return self.open_image(inputs if isinstance(inputs, dict) else dict(img_path=str(inputs)))
