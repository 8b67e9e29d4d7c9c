"""Inference for people: mmdet's inferencer with the test pyramid."""

from ..visualization import LargeImageVisualizer
from .inferencer import MultiScaleInferencer
from .loading import image_files

__all__ = ['LargeImageVisualizer', 'MultiScaleInferencer', 'image_files']
