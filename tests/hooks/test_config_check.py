"""ConfigCheckHook on two ranks: both stop, one says why. What it says: tests/checks."""

import os
import subprocess
import sys
from pathlib import Path

from mmsniper.hooks import ConfigCheckHook

ROOT = Path(__file__).parents[2]


def test_both_ranks_stop_and_the_first_says_what_the_second_found(tiny_cfg, tmp_path):
    tiny_cfg.train_cfg.val_begin = 9
    tiny_cfg.dump(tmp_path / 'base.py')
    prefix = tiny_cfg.train_dataloader.dataset.dataset.data_prefix.img
    prefix = f"dict(img='nowhere/' if os.environ['RANK'] == '1' else {prefix!r})"
    lines = ["_base_ = 'base.py'", 'import os']
    lines += [f'train_dataloader = dict(dataset=dict(dataset=dict(data_prefix={prefix})))']
    (tmp_path / 'mine.py').write_text('\n'.join(lines))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [ROOT / 'tools/train.py', tmp_path / 'mine.py', '--launcher', 'pytorch']
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said[-3000:]
    assert said.count('4 of 4 files are not there') == 1
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_a_test_alone_is_not_checked():
    class Runner:
        _train_loop = dict(max_epochs=3)  # not built

    ConfigCheckHook().before_run(Runner)
