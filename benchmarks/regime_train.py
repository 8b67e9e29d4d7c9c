"""One training of regimes.py, in a process and on a thread of its own, until it has gone through so many pixels.

python benchmarks/regime_train.py CONFIG WORK_DIR PIXELS

At each quarter of them a checkpoint is written, and into marks.json what it took until then. Called again, it goes on
behind the last one.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

MARKS = 4


class BudgetHook(Hook):
    """Counts network pixels and processor seconds, writes checkpoints by them, ends the run.

    Args:
        pixels: Network pixels, padding included, to go through.
    """

    priority = 'VERY_LOW'

    def __init__(self, pixels: float) -> None:
        self.budget = pixels
        self.done = dict(pixels=0, seconds=0.0, steps=0, marks=[])
        self.start: float | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on counting."""
        self.done = checkpoint['meta']['budget']

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        """Start the clock, with the first batch read: one that goes on has passed over those before."""
        if self.start is None:
            self.start = time.process_time() - self.done['seconds']

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: dict) -> None:
        """Count the step; at a mark, save."""
        divisor = runner.model.data_preprocessor.pad_size_divisor
        sides = zip(*(image.shape[-2:] for image in data_batch['inputs']), strict=True)
        height, width = (math.ceil(max(side) / divisor) * divisor for side in sides)
        self.done['pixels'] += len(data_batch['inputs']) * height * width
        self.done['steps'] += 1
        reached = min(int(MARKS * self.done['pixels'] / self.budget), MARKS)
        marks = self.done['marks']
        if reached == (marks[-1]['mark'] if marks else 0):
            return
        self.done['seconds'] = time.process_time() - self.start
        marks.append(dict(mark=reached, **{key: self.done[key] for key in ('pixels', 'seconds', 'steps')}))
        runner.save_checkpoint(runner.work_dir, f'mark_{reached}.pth', meta=dict(budget=self.done), by_epoch=False)
        (Path(runner.work_dir) / 'marks.json').write_text(json.dumps(marks))
        runner.train_loop.stop_training = reached == MARKS
        self.start = time.process_time() - self.done['seconds']  # writing is nobody's time


def main() -> None:
    """Train."""
    path, work_dir, pixels = sys.argv[1:]
    torch.set_num_threads(1)
    cfg = Config.fromfile(path)
    cfg.work_dir = work_dir
    marks = Path(work_dir) / 'marks.json'
    if marks.exists():
        last = json.loads(marks.read_text())[-1]['mark']
        cfg.load_from, cfg.resume = str(Path(work_dir) / f'mark_{last}.pth'), True
    runner = Runner.from_cfg(cfg)
    runner.register_hook(BudgetHook(float(pixels)))
    runner.train()


if __name__ == '__main__':
    main()
