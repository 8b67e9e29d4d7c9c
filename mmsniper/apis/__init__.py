"""Inference for people: mmdet's inferencer with the test pyramid."""

from .inferencer import MultiScaleInferencer
from .loading import image_files

__all__ = ['MultiScaleInferencer', 'image_files']
