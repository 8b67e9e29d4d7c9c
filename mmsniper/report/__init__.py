"""A page that shows what a config trains on: numbers of a plan, charts, chips with their labels."""

from .gallery import gallery, panels_of_image
from .numbers import report_numbers
from .page import render

__all__ = ['gallery', 'panels_of_image', 'render', 'report_numbers']
