"""Pictures of chips, labels, proposals and detections, for tools, reports and hooks."""

from .canvas import grid, legend, scale_colour, titled, with_legend
from .chips import chip_legend, chip_title, draw_chip, draw_image, draw_panels, scale_title
from .large_images import LargeImageVisualizer

__all__ = [
    'LargeImageVisualizer',
    'chip_legend',
    'chip_title',
    'draw_chip',
    'draw_image',
    'draw_panels',
    'grid',
    'legend',
    'scale_colour',
    'scale_title',
    'titled',
    'with_legend',
]
