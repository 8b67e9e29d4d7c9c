"""Inference for people: mmdet's inferencer with the test pyramid."""

from .inferencer import MultiScaleInferencer
from .loading import image_files
from .visualizer import LargeImageVisualizer

__all__ = ['LargeImageVisualizer', 'MultiScaleInferencer', 'image_files']
