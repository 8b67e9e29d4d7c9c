"""Runs some of our tools one after the other in this process, as one of torchrun's or alone: JOBS.json.

Imports take longer than all the rest, so they are done once. A config's RecordChips writes what its rank was shown.
"""

import json
import runpy
import sys
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

TOOLS = Path(__file__).parents[1] / 'tools'


@HOOKS.register_module(force=True)
class RecordChipsOfRank(Hook):
    """Writes the chips of each step to a file per rank.

    Args:
        folder: Where.
    """

    def __init__(self, folder='.'):
        self.folder = folder
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Note the batch."""
        samples = data_batch['data_samples']
        self.seen += [
            (runner.epoch, sample.img_id, sample.chip, int(sample.scale_idx), sample.img_shape[0], sample.flip)
            for sample in samples
        ]

    def after_train(self, runner):
        """Write."""
        (Path(self.folder) / f'rank{runner.rank}.json').write_text(json.dumps(self.seen))


def run(jobs):
    """Run tools, each given as its name and arguments."""
    sys.path.insert(0, str(TOOLS))
    for name, *arguments in jobs:
        sys.argv = [f'{name}.py', *map(str, arguments)]
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')


if __name__ == '__main__':
    run(json.loads(Path(sys.argv[1]).read_text()))
