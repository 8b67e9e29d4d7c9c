"""mmsniper: SNIPER multi-scale training for MMDetection 3.x."""

from .version import __version__, check_versions

check_versions()

__all__ = ['__version__']
