"""Evaluation: validation as one will test, and figures that leave ignored regions out."""

from .coco_metric import CocoMetric
from .multi_scale_val_loop import MultiScaleValLoop

__all__ = ['CocoMetric', 'MultiScaleValLoop']
