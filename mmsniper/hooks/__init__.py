"""What looks on while training, validating and testing."""

from .data_check import DataCheckHook
from .exact_resume import ExactResumeHook

__all__ = ['DataCheckHook', 'ExactResumeHook']
