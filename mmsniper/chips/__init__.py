"""Chips as in the SNIPER paper: where to look, and at which scale. NumPy, Numba and OpenCV; no torch."""

from .geometry import box_sizes, clip_boxes, to_chip, to_image, visible_fraction
from .labels import IGNORED, INVALID, VALID, PlanLabels
from .pixels import chip_pixels, resized_pixels
from .plan import BoxTable, ChipKey, ChipKind, ChipPlan, ChipTable
from .planner import ChipPlanner, Chips
from .pool import NegativePool, image_key
from .pyramid import PyramidPlanner, build_planner
from .scales import scale_factor, scale_name

__all__ = [
    'IGNORED',
    'INVALID',
    'VALID',
    'BoxTable',
    'ChipKey',
    'ChipKind',
    'ChipPlan',
    'ChipPlanner',
    'ChipTable',
    'Chips',
    'NegativePool',
    'PlanLabels',
    'PyramidPlanner',
    'box_sizes',
    'build_planner',
    'chip_pixels',
    'clip_boxes',
    'image_key',
    'resized_pixels',
    'scale_factor',
    'scale_name',
    'to_chip',
    'to_image',
    'visible_fraction',
]
