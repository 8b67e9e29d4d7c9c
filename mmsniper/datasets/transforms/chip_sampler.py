"""ChipSampler: cuts one chip out of an image, with its boxes, masks and labels (SNIPER, sec. 3.2 and 3.4)."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, get_box_tensor

from ...chips import ChipPlanner, box_sizes, build_planner, clip_boxes, to_chip, visible_fraction
from ...registry import TRANSFORMS
from .bitmaps import shown_pixels, to_bitmaps
from .flags import IGNORED, INVALID, VALID, join_flags
from .object_masks import ObjectMasks


@TRANSFORMS.register_module()
class ChipSampler(BaseTransform):
    """Cut a chip and zoom it to ``chip_size`` network pixels, as the first transform after loading.

    The crop lies on whole image pixels and only the crop is resized; boxes and masks go through the same numbers as
    the pixels. Behind :class:`~mmsniper.datasets.ChipDataset` the chip is the one that the plan names. In an ordinary
    pipeline, given a ``planner``, it is drawn anew per visit from the image's positive chips, or from all places of
    all scales if it has none.

    Every instance that touches the chip stays, cropped, and ``gt_ignore_flags`` says what it is good for: valid (0),
    ignored region (1: a crowd, or a sliver of an invalid object), or invalid (2: size out of the scale's range, or too
    little of it inside), and, inside ``ChipDataset``, of what the chip cuts the whole size, unless a transform
    follows that may not bear it; see :func:`~mmsniper.datasets.transforms.flags.split_flags`.

    Masks may be what :class:`LoadChipAnnotations` leaves, or mmdet's polygons or bitmaps. They become bitmaps of the
    chip's size; but where ``ChipDataset`` sees that only transforms follow which take polygons (``RandomFlip``,
    colours), and all of a chip's objects have them, they stay polygons, clipped to the chip, until
    :class:`PackChipInputs`. Bitmaps and ``gt_seg_map`` show the image's pixels at their centres.

    Required Keys: img, or large_image of :class:`OpenImage`, height, width, gt_bboxes, gt_bboxes_labels,
    gt_ignore_flags, gt_masks (optional), gt_seg_map (optional), chip and scale_idx and chip_scale (from
    ``ChipDataset``)

    Modified Keys: img, img_shape, gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks, gt_seg_map

    Added Keys: chip ((4,) float32, image frame), chip_scale (float), scale_idx (int), valid_range (sqrt(area) limits in
    chip pixels), scale_factor ((zoom_x, zoom_y)), keep_ratio, instance_idx ((N,) int64, which of the image's instances
    each is)

    Args:
        planner: A :class:`~mmsniper.chips.ChipPlanner` or its arguments; left out inside ``ChipDataset``, which hands
            its own over.
        min_visible: Least share of a valid object's area that must lie inside the chip.
        min_side: Invalid objects whose part inside has a side under this, in chip pixels, become ignored regions.
        pad_val: Colour (in the image's channel order) right of and below a chip that is smaller than ``chip_size``.
            The default is what mmdet's usual mean subtraction turns into 0, the test-time padding.
        seg_pad_val: The same for ``gt_seg_map``; 255 is mmdet's "unlabelled".
        interpolation: As in mmdet's ``Resize``; other than 'bilinear' and 'area', of unreduced pixels always.

    Raises:
        ValueError: If an argument is out of bounds; on a call, if there is no planner or two, or the image is not as
            large as its annotation says.
    """

    def __init__(
        self,
        planner: ChipPlanner | dict | None = None,
        min_visible: float = 0.5,
        min_side: float = 4,
        pad_val: tuple[int, int, int] = (104, 116, 124),
        seg_pad_val: int = 255,
        interpolation: str = 'bilinear',
    ) -> None:
        if not 0 < min_visible <= 1:
            raise ValueError(f'min_visible is a share of area, in (0, 1]; got {min_visible!r}')
        if min_side < 0:
            raise ValueError(f'min_side is a length in chip pixels, >= 0; got {min_side!r}')
        self.planner = None if planner is None else build_planner(planner)
        self.min_visible = min_visible
        self.min_side = min_side
        self.pad_val = tuple(pad_val)
        self.seg_pad_val = seg_pad_val
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Cut the chip; see the class for the keys."""
        planner = self._planner(results)
        check_size(results)
        if 'chip' not in results:
            _draw_chip(results, planner)
        x1, y1, x2, y2 = window = np.asarray(results['chip'], np.float32).astype(int)
        zoom = results['chip_scale']
        extent = np.minimum(np.rint(np.array([x2 - x1, y2 - y1]) * zoom).astype(int).clip(1), planner.chip_size)
        shape = planner.canvas(tuple(extent.tolist()))[::-1]
        zooms = extent / (x2 - x1, y2 - y1)

        self._transform_instances(results, planner, window, extent, shape)
        crop = self._crop(results, window, extent)
        chip = mmcv.imresize(crop, tuple(extent.tolist()), interpolation=self.interpolation)
        if chip.shape[:2] != shape:
            chip = mmcv.impad(chip, shape=shape, pad_val=self.pad_val if chip.ndim == 3 else self.pad_val[0])
        results['img'] = chip
        if results.get('gt_seg_map') is not None:
            seg_map = np.full(shape, self.seg_pad_val, results['gt_seg_map'].dtype)
            rows, columns = shown_pixels(y1, y2, extent[1]), shown_pixels(x1, x2, extent[0])
            seg_map[: extent[1], : extent[0]] = results['gt_seg_map'][rows].take(columns, axis=1)
            results['gt_seg_map'] = seg_map
        low, high = planner.valid_ranges[results['scale_idx']] * zoom
        results.pop('homography_matrix', None)  # PackChipInputs looks at what happens from here on
        results.update(
            chip=window.astype(np.float32),
            valid_range=(float(low), float(high)),
            img_shape=shape,
            scale_factor=tuple(zooms.tolist()),
            keep_ratio=True,
        )
        return results

    def _crop(self, results: dict, window: np.ndarray, extent: np.ndarray) -> np.ndarray:
        """The window's pixels, from memory or from the file; see ``LargeImage.read``."""
        x1, y1, x2, y2 = window
        if 'large_image' not in results:
            return results['img'][y1:y2, x1:x2]
        # Reduced pixels are for those who average: nearest ones are the image's own.
        smooth = self.interpolation in ('bilinear', 'area')
        return results.pop('large_image').read(tuple(window.tolist()), extent if smooth else window[2:] - window[:2])

    def _planner(self, results: dict) -> ChipPlanner:
        given = results.pop('chip_planner', None)
        if given is not None and self.planner is not None:
            raise ValueError("ChipSampler has a planner inside ChipDataset, where the data set's counts: leave it out")
        if given is None and self.planner is None:
            raise ValueError('ChipSampler has no planner: use it inside ChipDataset, or write ChipSampler(planner=...)')
        return given or self.planner

    def _transform_instances(
        self, results: dict, planner: ChipPlanner, window: np.ndarray, extent: np.ndarray, shape: tuple[int, int]
    ) -> None:
        if 'gt_bboxes' not in results:
            return
        zooms = extent / (window[2:] - window[:2])
        bboxes = _as_array(results['gt_bboxes']).astype(np.float64).reshape(-1, 4)
        image_size = (results['width'], results['height'])
        inside = clip_boxes(bboxes, window)
        kept = np.flatnonzero((inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1]))

        # Validity is of the whole object: clipped to the image, not to the chip.
        in_image = clip_boxes(bboxes, (0, 0, *image_size))
        valid = planner.valid(in_image, image_size)[results['scale_idx']]
        valid &= visible_fraction(in_image, window) >= self.min_visible
        valid[list(results.pop('elsewhere', ()))] = False
        crowd = np.asarray(results.get('gt_ignore_flags', np.zeros(len(bboxes)))) == IGNORED
        chip_bboxes = to_chip(inside, window, zooms)
        sliver = (chip_bboxes[:, 2:] - chip_bboxes[:, :2]).min(axis=1, initial=np.inf) < self.min_side
        flags = np.where(valid, VALID, np.where(sliver, IGNORED, INVALID))
        flags[crowd] = IGNORED

        cut = (inside != in_image).any(axis=1) & results.pop('keep_sizes', False)
        whole = box_sizes(in_image * np.tile(zooms, 2))

        boxes = chip_bboxes[kept].astype(np.float32)
        results['gt_bboxes'] = boxes if isinstance(results['gt_bboxes'], np.ndarray) else HorizontalBoxes(boxes)
        results['gt_ignore_flags'] = join_flags(flags, sizes=np.where(cut, whole, 0))[kept]
        results['instance_idx'] = kept
        if 'gt_bboxes_labels' in results:
            results['gt_bboxes_labels'] = results['gt_bboxes_labels'][kept]
        if results.get('gt_masks') is not None:
            masks = ObjectMasks.wrap(results['gt_masks'])[kept].cut(window, extent, shape)
            results['gt_masks'] = masks if results.pop('keep_polygons', False) else to_bitmaps(masks)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(planner={self.planner}, min_visible={self.min_visible}, min_side={self.min_side}, '
            f'pad_val={self.pad_val}, interpolation={self.interpolation!r})'
        )


def _draw_chip(results: dict, planner: ChipPlanner) -> None:
    image_size = (results['width'], results['height'])
    rng = np.random.default_rng(np.random.randint(2**31, size=2))
    bboxes = _as_array(results.get('gt_bboxes', np.zeros((0, 4))))
    crowd = np.asarray(results.get('gt_ignore_flags', np.zeros(len(bboxes)))) == IGNORED
    chips = planner.positive(bboxes[~crowd], image_size, rng)
    if not len(chips):
        chips = planner.random(image_size, 1, rng)
    n = rng.integers(len(chips))
    results.update(chip=chips.bboxes[n], scale_idx=int(chips.scale_idx[n]), chip_scale=float(chips.scale[n]))


def _as_array(bboxes: BaseBoxes | np.ndarray) -> np.ndarray:
    return bboxes if isinstance(bboxes, np.ndarray) else get_box_tensor(bboxes).numpy()


def check_size(results: dict) -> None:
    """Refuse a loaded image that is not as large as its annotation says, or of pixels that no detector expects.

    Args:
        results: With ``img`` or ``large_image``; ``width`` and ``height`` are set if the annotation does not say them.

    Raises:
        ValueError: If it is; names the image.
    """
    if 'scale_factor' in results:
        raise ValueError('ChipSampler must run before Resize: it cuts from the original image, and zooms by itself')
    image = results.get('large_image')
    if image is None and results['img'].dtype not in (np.uint8, np.float32):
        raise ValueError(
            f'{results.get("img_path", "image")}: is of {results["img"].dtype}, which no detector expects: write '
            "dict(type='mmsniper.To8Bit', max_value=65535) after LoadImageFromFile, with the largest value of your data"
        )
    width, height = results['img'].shape[1::-1] if image is None else image.size
    said = results.setdefault('width', width), results.setdefault('height', height)
    if said != (width, height):
        raise ValueError(
            f'{results.get("img_path", "image")}: the file is {width} x {height} pixels, but its annotation says '
            f'{said[0]} x {said[1]}, so boxes would not lie on their objects; correct the annotation file (or, if the '
            "two are swapped, rotate the file as its EXIF tag says, or load it with imdecode_backend='cv2' and "
            "color_type='color_ignore_orientation')"
        )
