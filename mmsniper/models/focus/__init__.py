"""AutoFocus: a branch that tells where a finer scale is worth a look, and the views that follow from it."""

from .detector import with_focus
from .head import FocusHead

__all__ = ['FocusHead', 'with_focus']
