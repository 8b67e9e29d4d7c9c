"""Scales, ranges and a schedule for a data set, chosen by planning its annotations."""

from .base import Base, read_base
from .config_text import config_text
from .data_files import DataFiles, data_files
from .fingerprint import Fingerprint, read_fingerprint, summary
from .suggestion import Suggestion, suggest

__all__ = [
    'Base',
    'DataFiles',
    'Fingerprint',
    'Suggestion',
    'config_text',
    'data_files',
    'read_base',
    'read_fingerprint',
    'suggest',
    'summary',
]
