"""What an export has written, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..chips import ChipPlanner, PyramidPlanner, scale_name
from .records import NAMES

# What plain trainers make of invalid objects, by what the export makes of them.
MEANING = dict(
    keep='kept as objects, "valid": 0',
    ignore='marked "iscrowd": plain trainers that do not leave such regions out teach them as background',
    drop='not written: what shows them is background',
)


def describe(summary: dict, scales: Sequence, settings: dict) -> list[str]:
    """Lines that say what there is, and what was left out.

    Args:
        summary: What :func:`~mmsniper.export.export_chips` gives.
        scales: The planner's.
        settings: Of the export.
    """
    counts = summary['counts']
    kinds = [f'{counts[name]} {name.removesuffix(" chips")}' for name in counts if name.endswith(' chips')]
    per_scale = [f'{scale_name(scale)}: {counts.get(f"scale {n}", 0)}' for n, scale in enumerate(scales)]
    lines = [
        f'{counts.get("chips", 0)} chips of {counts.get("images", 0)} images ({", ".join(kinds)}); by scale '
        f'{", ".join(per_scale)}; {counts.get("chips without objects", 0)} without objects',
        f'{sum(counts.get(name, 0) for name in NAMES.values())} objects in them: {counts.get("valid", 0)} valid, '
        f'{counts.get("invalid", 0)} invalid ({MEANING[settings["invalid"]]}), {counts.get("ignored", 0)} ignored '
        'regions ("iscrowd": 1)',
    ]
    if counts.get('without a mask inside'):
        lines.append(
            f'{counts["without a mask inside"]} objects show a corner of their box and nothing of their mask: '
            '"iscrowd": 1'
        )
    if summary['unreadable']:
        named = '; '.join(summary['unreadable'][:5])
        lines.append(f'left out, {len(summary["unreadable"])} images that cannot be read: {named}')
    return lines


def mmdet_config(folder: Path, classes: Sequence[str], planner: ChipPlanner) -> str:
    """The lines by which plain mmdet trains on an export."""
    few, side = len(classes) <= 8, planner.chip_size
    metainfo = f'\n    metainfo=dict(classes={tuple(classes)!r}),' if few else '  # and metainfo, as in your config'
    resize = f"with dict(type='Resize', scale=({side}, {side}), keep_ratio=True)"
    if isinstance(planner, PyramidPlanner):
        resize = 'without Resize'
    return (
        "train_dataloader = dict(dataset=dict(type='CocoDataset', "
        f"data_root='{folder}/', ann_file='annotations.json', data_prefix=dict(img='images/'),"
        f'{metainfo}\n    filter_cfg=None))  # chips without objects teach, too\n'
        f'# and a pipeline {resize}: chips have the size that they are to be seen at'
    )
