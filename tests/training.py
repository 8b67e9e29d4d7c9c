"""Runs mmengine's training on chips, and keeps what each step saw."""

import copy
from itertools import count
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

runs = count()  # mmengine names a run's messages and logs after it and the second it began in: tests have several


class RecordChips(Hook):
    """Keeps what each training step sees."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Note the batch's chips, flips and pixels."""
        for inputs, sample in zip(data_batch['inputs'], data_batch['data_samples'], strict=True):
            self.seen.append((runner.epoch, sample.img_id, sample.chip, sample.flip, int(inputs.sum())))


def train(cfg, **changes):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(dict(experiment_name=f'run{next(runs)}{cfg.work_dir}'.replace('/', '_'), **changes))
    record = RecordChips()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(record)
    runner.train()
    return record.seen, runner


def log_of(runner):
    """What a run has logged."""
    return '\n'.join(path.read_text() for path in Path(runner.work_dir).glob('*/*.log'))
