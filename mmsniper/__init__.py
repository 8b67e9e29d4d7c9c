"""mmsniper: SNIPER multi-scale training for MMDetection 3.x."""

from .configs import config_path
from .version import __version__, check_versions

check_versions()

__all__ = ['__version__', 'config_path']
