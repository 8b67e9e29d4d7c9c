"""ConfigCheckHook on two ranks: both stop, one says why. What it says: tests/checks."""

import os
import subprocess
import sys
from pathlib import Path

from mmsniper.hooks import ConfigCheckHook

ROOT = Path(__file__).parents[2]


def test_both_ranks_stop_and_one_says_why(tiny_cfg, tmp_path):
    tiny_cfg.model.roi_head.bbox_head.num_classes = 80
    tiny_cfg.train_cfg.val_begin = 9
    tiny_cfg.dump(tmp_path / 'mine.py')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [ROOT / 'tools/train.py', tmp_path / 'mine.py', '--launcher', 'pytorch']
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said[-3000:]
    assert said.count('but num_classes is: roi_head.bbox_head 80') == 1
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_a_test_alone_is_not_checked():
    class Runner:
        _train_loop = dict(max_epochs=3)  # not built

    ConfigCheckHook().before_run(Runner)
