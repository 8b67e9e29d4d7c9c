"""Pictures of chips: on their image, scale by scale, and as the network sees them.

A box's line says what the box is good for, a chip's why it is there; a scale has one colour and one name, what the
config says and the zoom that it means.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from ..chips import ChipKey, ChipKind, ChipPlanner, clip_boxes, scale_name
from ..chips.geometry import as_boxes
from ..chips.scales import Scale
from ..datasets.boxes import image_boxes
from ..image_files import unreadable
from ..large_images import LARGE, LargeImage
from .canvas import (
    BOXES,
    CHIPS,
    DASH,
    GROUND,
    IGNORED,
    INVALID,
    PANEL,
    PREDICTION,
    PROPOSAL,
    VALID,
    Line,
    rectangle,
    scale_colour,
    titled,
    with_legend,
    write,
)


def draw_image(
    planner: ChipPlanner, info: dict, keys: Sequence[ChipKey], proposals: np.ndarray | None = None
) -> np.ndarray:
    """What :func:`draw_panels` gives, side by side, with a legend: (H, W, 3) uint8 BGR. Same arguments."""
    lines = BOXES | CHIPS
    if proposals is not None:
        lines |= {'proposal that counts (bright: in a negative chip)': PROPOSAL}
    return with_legend(np.hstack(draw_panels(planner, info, keys, proposals)), lines)


def draw_panels(
    planner: ChipPlanner, info: dict, keys: Sequence[ChipKey], proposals: np.ndarray | None = None
) -> list[np.ndarray]:
    """The image once per scale, with the scale's chips and every box as that scale sees it.

    Args:
        planner: Planned the chips.
        info: Of the image, as a detection data set gives it.
        keys: The image's chips.
        proposals: (P, 4) xyxy, image frame; None = draw none.

    Returns:
        Per scale (H, W, 3) uint8 BGR, all of one size.

    Raises:
        ValueError: If a proposal is malformed.
        UnreadableImageError: If the image cannot be read.
    """
    boxes, crowd, size = image_boxes(info)
    image, zoom = _panel(info['img_path'], size)
    valid = planner.valid(boxes, size)
    found = clip_boxes(as_boxes([] if proposals is None else proposals), (0, 0, *size))
    # Mining plans positive chips without rng; those of this epoch cover other places.
    counts = planner.uncovered(found, size, planner.positive(boxes[~crowd], size))
    panels = []
    for s, scale in enumerate(planner.scales):
        chips = [key for key in keys if key.scale_idx == s]
        panel = _lit(image, chips, zoom)
        held = np.zeros(len(found), bool)
        for key in chips:
            if key.kind == ChipKind.NEGATIVE:
                held |= (found[:, :2] >= key.bbox[:2]).all(1) & (found[:, 2:] <= key.bbox[2:]).all(1)
        faint = panel.copy()
        for box in found[counts[s] & ~held]:
            rectangle(faint, box * zoom, PROPOSAL)
        panel = cv2.addWeighted(panel, 0.6, faint, 0.4, 0)
        for box in found[counts[s] & held]:
            rectangle(panel, box * zoom, PROPOSAL)
        for box, is_valid, is_crowd in zip(boxes, valid[s], crowd, strict=True):
            rectangle(panel, box * zoom, IGNORED if is_crowd else VALID if is_valid else INVALID)
        for n, key in enumerate(chips):
            # A pixel inwards per chip, so that chips that share a border are both seen.
            frame = np.array(key.bbox) * zoom + np.array([1, 1, -1, -1]) * (n % 4)
            rectangle(panel, frame, Line(scale_colour(s), DASH[key.kind], 2))
        low, high = planner.valid_ranges[s]
        of_scale = scale_title(scale, planner.chip_size / planner.windows(size)[1][s])
        panels.append(titled(panel, f'{of_scale}, objects {low:g}..{high:g} px: {count(chips)}', scale_colour(s)))
    width = max(panel.shape[1] for panel in panels)  # titles of narrow images differ in length
    return [mmcv.impad(panel, shape=(panel.shape[0], width), pad_val=GROUND) for panel in panels]


def draw_chip(
    inputs: Tensor | np.ndarray, sample: DetDataSample, classes: Sequence[str], score_thr: float = 0.3
) -> np.ndarray:
    """One network input with its labels, and with predictions if the sample has ``pred_instances``.

    Args:
        inputs: (C, H, W) before the model's data preprocessor, BGR as ``PackChipInputs`` packs it.
        sample: Of this chip, boxes in the chip frame.
        classes: Names of the classes.
        score_thr: Only predictions with a higher score are drawn.

    Returns:
        (H, W, 3) uint8 BGR, H and W at most ``PANEL``: larger inputs are reduced.
    """
    chip = as_picture(inputs)
    zoom = min(PANEL / max(chip.shape), 1)
    if zoom < 1:
        chip = mmcv.imrescale(chip, zoom, interpolation='area')
    ignored, truth = sample.get('ignored_instances', InstanceData()), sample.gt_instances
    for box in _bboxes(ignored):
        rectangle(chip, box * zoom, IGNORED)
    valid = truth.get('valid')
    valid = np.ones(len(truth), bool) if valid is None else valid.cpu().numpy()
    _outline_masks(chip, truth, valid)
    for box, label, is_valid in zip(_bboxes(truth), truth.labels.tolist(), valid, strict=True):
        rectangle(chip, box * zoom, VALID if is_valid else INVALID)
        if is_valid:
            _label(chip, classes[label], box * zoom, VALID)
    found = sample.get('pred_instances')
    if found is not None:
        found = found[found.scores > score_thr]
        # Not every detector clips; an untrained one may be so far off that no drawing can say where.
        bboxes = _bboxes(found).clip(-max(chip.shape), 2 * max(chip.shape) / zoom)
        for box, label, score in zip(bboxes, found.labels.tolist(), found.scores.tolist(), strict=True):
            rectangle(chip, box * zoom, PREDICTION)
            _label(chip, f'{classes[label]} {score:.2f}', box * zoom, PREDICTION, below=True)
    return chip


def chip_legend(predictions: bool = False) -> dict[str, Line]:
    """What the lines of :func:`draw_chip` mean, for :func:`with_legend`."""
    return BOXES | ({'prediction': PREDICTION} if predictions else {})


def chip_title(sample: DetDataSample, scales: Sequence[Scale], kind: int | None = None) -> str:
    """What stands above a chip: its scale and zoom, why it is there if that is known, and how many chips it mixes.

    Args:
        sample: Of the chip.
        scales: The planner's.
        kind: A :class:`~mmsniper.chips.ChipKind`.
    """
    of_kind = '' if kind in (None, ChipKind.POSITIVE) else f', {ChipKind(kind).name.lower()}'
    mixed = f', {len(sample.valid_range)} mixed' if isinstance(sample.valid_range, list) else ''
    return scale_title(scales[sample.scale_idx], sample.chip_scale) + of_kind + mixed


def scale_title(scale: Scale, zoom: float) -> str:
    """A scale in words: what the config says, and network pixels per image pixel."""
    return f'scale {scale_name(scale)} (zoom {zoom:.2f})'


def count(keys: Sequence[ChipKey]) -> str:
    """How many chips there are of each kind, in words."""
    n = {kind: sum(key.kind == kind for key in keys) for kind in ChipKind}
    others = [f' + {n[kind]} {kind.name.lower()}' for kind in (ChipKind.NEGATIVE, ChipKind.RANDOM) if n[kind]]
    return f'{n[ChipKind.POSITIVE]}{"".join(others)} chips'


def as_picture(inputs: Tensor | np.ndarray) -> np.ndarray:
    """A network input (C, H, W) of any type as (H, W, 3) uint8: the first channels, grey as three."""
    pixels = np.asarray(inputs.cpu() if isinstance(inputs, Tensor) else inputs)[:3]
    pixels = pixels if len(pixels) == 3 else pixels[[0, 0, 0]]
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _panel(path: str, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """An image file as large as a panel, and its zoom."""
    zoom = PANEL / max(size)
    extent = max(round(size[0] * zoom), 1), max(round(size[1] * zoom), 1)
    try:
        image = LargeImage(path).read((0, 0, *size), extent) if size[0] * size[1] > LARGE else mmcv.imread(path)
    except (OSError, cv2.error) as error:
        raise unreadable(path, error) from error
    if image is None:
        raise unreadable(path, ValueError('it is damaged, or no image'))
    return cv2.resize(image, extent, interpolation=cv2.INTER_AREA), zoom


def _lit(image: np.ndarray, chips: Sequence[ChipKey], zoom: float) -> np.ndarray:
    """A copy of the image, dark where no chip is."""
    unseen = np.ones(image.shape[:2], bool)
    for key in chips:
        x1, y1, x2, y2 = np.rint(np.array(key.bbox) * zoom).astype(int)
        unseen[y1:y2, x1:x2] = False
    panel = image.copy()
    panel[unseen] //= 2
    return panel


def _bboxes(instances: InstanceData) -> np.ndarray:
    return get_box_tensor(instances.bboxes).detach().cpu().numpy() if 'bboxes' in instances else np.zeros((0, 4))


def _label(chip: np.ndarray, text: str, box: np.ndarray, line: Line, below: bool = False) -> None:
    """Write into a box, at its top, or under its bottom."""
    x, y = int(box[0]) + 2, int(box[3]) + 12 if below else int(box[1]) + 11
    write(chip, text, (x, min(y, chip.shape[0] - 4)), line.colour)


def _outline_masks(chip: np.ndarray, truth: InstanceData, valid: np.ndarray) -> None:
    masks = truth.get('masks')
    if masks is None or not len(masks):
        return
    if (masks.height, masks.width) != chip.shape[:2]:
        masks = masks.resize(chip.shape[:2])
    for mask, is_valid in zip(masks.to_ndarray(), valid, strict=True):
        edges, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(chip, edges, -1, VALID.colour if is_valid else INVALID.colour, 1)
