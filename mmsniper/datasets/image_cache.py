"""ImageCache: loaded images, kept for the chips that are still to be cut from them."""

from __future__ import annotations

from collections.abc import Callable
from logging import WARNING
from typing import NamedTuple

from mmdet.structures.mask import BaseInstanceMasks
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from ..chips import ChipKey
from .transforms.object_masks import ObjectMasks


class Kept(NamedTuple):
    """What was loaded for an image, its bytes, and the last step that needs it."""

    until: int
    loaded: dict
    n_bytes: int


class ImageCache:
    """Keeps what was loaded for an image until the step that its chips' keys name, if there is room.

    What finds no room is loaded again for the next chip; nothing makes room for something else, because every image
    that is kept will be needed.

    Args:
        max_bytes: Room for pixels, maps and masks.

    Attributes:
        n_loaded: How often an image was loaded.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_loaded = 0
        self._kept: dict[int, Kept] = {}
        self._said = False

    def get(self, key: ChipKey, load: Callable[[], dict | None]) -> dict | None:
        """What was loaded for the image of a chip; not to be changed.

        Args:
            key: The chip.
            load: Loads the image.
        """
        self._kept = {idx: kept for idx, kept in self._kept.items() if kept.until >= key.step}
        kept = self._kept.pop(key.image_idx, None)
        if kept is None:
            self.n_loaded += 1
            if (loaded := load()) is None:
                return None
            kept = Kept(key.keep_until, loaded, nbytes(loaded))
        kept = kept._replace(until=max(kept.until, key.keep_until))
        if kept.until > key.step and self._has_room(kept):
            self._kept[key.image_idx] = kept
        return kept.loaded

    def _has_room(self, kept: Kept) -> bool:
        needed = sum(other.n_bytes for other in self._kept.values()) + kept.n_bytes
        first = getattr(get_worker_info(), 'id', 0) == 0
        if needed > self.max_bytes > 0 and first and not self._said:
            self._said = True
            print_log(
                f'ChipDataset: {kept.loaded.get("img_path", "an image")} is loaded anew for each of its chips, and '
                f'others may be: each worker keeps up to cache_mb={self.max_bytes / 2**20:.0f}, and '
                f"{needed / 2**20:.0f} are needed here; raise it, or lower batch_sampler's lanes, or batch_size "
                '(said once)',
                'current',
                WARNING,
            )
        return needed <= self.max_bytes


def nbytes(loaded: dict) -> int:
    """Bytes of what is large in the results of loading transforms: arrays, masks, and what a
    :class:`~mmsniper.large_images.LargeImage` may come to hold.
    """
    values = (ObjectMasks.wrap(value) if isinstance(value, BaseInstanceMasks) else value for value in loaded.values())
    return sum(int(getattr(value, 'nbytes', 0)) for value in values)
