"""Draws what AutoFocus looks at in an image, and what it costs and finds at several thresholds."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from mmdet.structures import DetDataSample
from numpy.typing import NDArray

# One colour per finer scale, coarse to fine, RGB.
COLOURS = ((255, 176, 0), (0, 200, 255), (255, 90, 200), (120, 255, 120), (255, 255, 255))
HEAT = 0.4


def draw_focus(image: NDArray[np.uint8], sample: DetDataSample, stride: int) -> NDArray[np.uint8]:
    """FocusPixels of the coarsest scale as a heat map, FocusChips as frames, one colour per finer scale.

    Args:
        image: (H, W, 3) uint8, RGB, in any size.
        sample: With ``focus_maps`` and ``focus_chips`` in its metainfo, as
            :class:`~mmsniper.models.MultiScaleChipTTA` leaves them with ``keep_focus``.
        stride: Network pixels per cell.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    height, width = image.shape[:2]
    factors = np.tile([width / sample.ori_shape[1], height / sample.ori_shape[0]], 2)
    heat = np.zeros((height, width), np.float32)
    for view, focus in sample.get('focus_maps', []):
        x1, y1, x2, y2 = np.rint(view.window * factors).astype(int).tolist()
        # The last cells may reach beyond the view.
        cells = np.array(focus.shape[::-1]) * stride / view.zoom * factors[:2]
        shown = cv2.resize(focus.numpy(), np.rint(cells).astype(int).tolist(), interpolation=cv2.INTER_NEAREST)
        shown = shown[: y2 - y1, : x2 - x1]
        part = heat[y1:y2, x1:x2][: shown.shape[0], : shown.shape[1]]
        part[:] = np.maximum(part, shown[:, ::-1] if view.flip else shown)
    warm = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_HOT)[..., ::-1]
    drawn = np.ascontiguousarray((image * (1 - HEAT) + warm * HEAT).astype(np.uint8))
    thick = max(round(max(height, width) / 500), 1)
    for colour, chips in zip(COLOURS, sample.get('focus_chips', []), strict=False):
        for x1, y1, x2, y2 in np.rint(np.asarray(chips) * factors).astype(int).tolist():
            cv2.rectangle(drawn, (x1, y1), (x2 - 1, y2 - 1), colour, thick)
    return drawn


def draw_curve(rows: list[dict], path: Path) -> None:
    """Write AP and AR of small objects against pixels and seconds as PNG.

    Args:
        rows: Of :func:`~mmsniper.evaluation.focus_curve.focus_curve`.
        path: The file.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout='constrained')
    full, focused = rows[0], rows[1:]
    for axis, (key, label, unit) in zip(
        axes, (('pixels', 'network megapixels per image', 1e6), ('seconds', 'seconds per image', 1)), strict=True
    ):
        for name, colour in (('AP', '#00798c'), ('AR_small', '#d1495b')):
            x = [row[key] / unit for row in focused]
            axis.plot(x, [row[name] for row in focused], 'o-', color=colour, label=name.replace('_', ' '))
            axis.plot(full[key] / unit, full[name], '*', markersize=12, color=colour)
        for row in focused:
            axis.annotate(f'{row["threshold"]:g}', (row[key] / unit, row['AP']), (0, 6), textcoords='offset points')
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes[0].legend(title='stars: the full pyramid')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
