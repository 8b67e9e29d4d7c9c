"""ExactResumeHook: a stopped and resumed run is the run that nobody stopped."""

from __future__ import annotations

import copy
import random
from logging import WARNING
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..datasets import ChipPlanSampler, chip_sampler, progress_of
from ..registry import HOOKS
from .checkpoints import mend_last_checkpoint


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Lets ``--resume`` go on where a run was, in mid-epoch, too: no chip twice, none left out, the same losses.

    mmengine's ``EpochBasedTrainLoop`` runs the epoch of a checkpoint in mid-epoch again, restores no random state, and
    takes whatever file ``last_checkpoint`` names. With this hook

    - the sampler leaves out the chips that the epoch has shown already, counted over all ranks, so that another number
      of ranks goes on with the same ones;
    - every iteration's random numbers follow from (seed, iteration, rank), so there is no state to restore; on one CPU
      the weights are bitwise those of an undisturbed run, with any number of workers;
    - a damaged last checkpoint is passed over for the one before, and a copied work directory uses its own files.

    Where the number of samples per step has changed, the iteration counter and the schedule are laid out anew by
    samples; the learning rate stays what it was, which is said.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.epoch = self.first_iter = self.skipped = 0
        self.dealt: Any = None
        self.resumed: dict[str, Any] | None = None
        self.replay = False

    def before_run(self, runner: Runner) -> None:
        """Let mmengine find a whole checkpoint."""
        if runner._resume and runner._load_from is None:
            if is_main_process():
                mend_last_checkpoint(runner.work_dir)
            barrier()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note where the run was; mmengine reads ``checkpoint`` after this."""
        sampler = _chip_sampler(runner)
        if not runner._resume or sampler is None:
            return
        meta, progress = checkpoint['meta'], progress_of(runner.train_dataloader)
        known, length = meta.get('chips', {}), len(runner.train_dataloader)
        why = 'was written without ExactResumeHook, or with an earlier one'
        if 'dealt' in known:
            why = progress.refusal(known['dealt'])
        if why:
            begin = meta['epoch'] * length
            self.replay, meta['iter'] = meta['iter'] != begin, begin
            print_log(
                f'The checkpoint {why}: its epoch begins anew, as iteration {begin} of '
                f'{runner.max_iters}, and its schedule with it',
                'current',
                WARNING,
            )
            return
        self.resumed = known
        if self.resumed['seed'] != sampler.seed:
            seed = self.resumed['seed']
            print_log(
                f'The checkpoint has the chips of seed {seed}, this run those of seed {sampler.seed}: it goes on with '
                f'the former. Write randomness=dict(seed={seed}), so that epochs are exactly as long',
                'current',
                WARNING,
            )
            sampler.seed, sampler.epoch = seed, -1
        self.replay = self.resumed['step'] != progress.step
        if self.replay:
            sampler.set_epoch(meta['epoch'])
            left = progress.steps_after(self.resumed['shown'], self.resumed['dealt'])
            meta['iter'] = (meta['epoch'] + 1) * length - left
            print_log(
                f'The checkpoint is of a run with {self.resumed["step"]} samples per step, this one has '
                f'{progress.step}: it goes on with the same chips as iteration {meta["iter"]} of {runner.max_iters}, '
                'its schedule laid out anew; the learning rate is not scaled',
                'current',
                WARNING,
            )

    def before_train(self, runner: Runner) -> None:
        """Bring the schedule to where it would be after as many samples with this number per step."""
        if self.replay and isinstance(runner.param_schedulers, list):
            replay_schedule(runner)
        elif self.replay and runner.param_schedulers:
            print_log('Schedules of several optimizers are not laid out anew', 'current', WARNING)

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out what a resumed epoch has shown."""
        sampler = _chip_sampler(runner)
        self.epoch, self.first_iter, self.skipped = runner.epoch, runner.iter, 0
        resumed, self.resumed = self.resumed, None
        if sampler is None:
            return
        progress = progress_of(runner.train_dataloader)
        self.dealt = progress.dealt
        sampler.set_epoch(runner.epoch)
        if resumed and resumed['epoch'] == runner.epoch and resumed['shown']:
            self.skipped, self.dealt = resumed['shown'], resumed['dealt']
            progress.skip(self.skipped, self.dealt)
            print_log(
                f'Epoch {runner.epoch + 1} goes on after {self.skipped} of its {progress.total()} chips; the log '
                'counts its remaining iterations from 1',
                'current',
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed Python's, NumPy's and torch's generators for this iteration."""
        seed_all(runner.seed, runner.iter, get_dist_info()[0])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add how far the epoch is to the checkpoint's ``meta``."""
        sampler = _chip_sampler(runner)
        if sampler is None:
            return
        meta, progress = checkpoint['meta'], progress_of(runner.train_dataloader)
        shown = 0  # a checkpoint at an epoch's end says the next one
        if meta['epoch'] == self.epoch:
            shown = progress.shown_after(self.skipped, self.dealt, meta['iter'] - self.first_iter)
        about = dict(step=progress.step, seed=sampler.seed)
        meta['chips'] = dict(epoch=meta['epoch'], shown=shown, dealt=self.dealt, **about)


def seed_all(*numbers: int) -> None:
    """Seed all global generators by some whole numbers >= 0."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def replay_schedule(runner: Runner) -> None:
    """Build a runner's schedulers anew and step them to its iteration."""
    for group in runner.optim_wrapper.param_groups:
        for key in [key for key in group if key.startswith('initial_')]:
            group[key.removeprefix('initial_')] = group[key]
    runner.param_schedulers = runner.build_param_scheduler(copy.deepcopy(runner.cfg.param_scheduler))
    length = len(runner.train_dataloader)
    for n in range(1, runner.iter + 1):
        for scheduler in runner.param_schedulers:
            if not scheduler.by_epoch or n % length == 0:
                scheduler.step()


def _chip_sampler(runner: Runner) -> ChipPlanSampler | None:
    """The sampler of a run by epochs on chips; other loops need no help."""
    if not isinstance(runner._train_loop, EpochBasedTrainLoop):
        return None
    return chip_sampler(runner.train_dataloader)
