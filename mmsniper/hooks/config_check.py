"""ConfigCheckHook: what ``mmsniper check`` says, of what a training has built, before its first step."""

from __future__ import annotations

from logging import ERROR as LOG_ERROR
from logging import INFO
from logging import WARNING as LOG_WARNING

from mmengine.dist import all_gather_object, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from ..checks import ERROR, NOTE, PlannedRun, check_run
from ..checks.switch import is_off
from ..registry import HOOKS


@HOOKS.register_module()
class ConfigCheckHook(Hook):
    """Looks at data, model and schedule together before weights are loaded; nothing is built for it.

    Warnings and notes go to the log. If one rank finds an error, all stop, and the first one names it.

    Args:
        enabled: Whether it does anything; ``mmsniper train --no-check`` turns it off for one run.

    Raises:
        ValueError: If a finding is an error; has all of them.
    """

    priority = 'VERY_HIGH'

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def before_run(self, runner: Runner) -> None:
        """Check a training; a validation or test alone has no training loop."""
        if is_off() or not self.enabled or not isinstance(runner._train_loop, BaseLoop):
            return
        findings = check_run(PlannedRun.of_runner(runner))
        for finding in findings:
            if finding.level != ERROR:
                print_log(finding.logged(), 'current', INFO if finding.level == NOTE else LOG_WARNING)
        own = [str(finding) for finding in findings if finding.level == ERROR]
        # Files and disks may differ between machines: all stop if one has to.
        errors = list(dict.fromkeys(error for rank in all_gather_object(own) for error in rank))
        if errors:
            lines = [f'{len(errors)} errors in {runner.cfg.filename}; mmsniper train --no-check trains all the same']
            text = '\n'.join([*lines, *errors])
            if get_world_size() > 1:
                # The first process to end takes the others with it, so that the reason must stand there before.
                if is_main_process():  # others log errors, too
                    print_log(text, 'current', LOG_ERROR)
                barrier()
                text = f'{len(errors)} errors in {runner.cfg.filename}, which the log of the first process names'
            raise ValueError(text)
