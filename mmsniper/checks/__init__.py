"""Whether a config will train as it is meant to: looked at in seconds, before hours."""

from .check import check_config, check_run
from .findings import ERROR, NOTE, WARNING, Finding
from .planned_run import PlannedRun

__all__ = ['ERROR', 'NOTE', 'WARNING', 'Finding', 'PlannedRun', 'check_config', 'check_run']
