"""Batches of mixed sizes in two processes, killed and resumed: the draw of one undisturbed process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ranks
import torch

from mmsniper.compat import allow_mmengine_checkpoints

ROOT = Path(__file__).parents[1]


@pytest.fixture
def arguments(tiny_cfg, tmp_path):
    """Writes the config, and gives the training's arguments for ``ranks.py``."""
    tiny_cfg.train_cfg.update(max_epochs=2, val_begin=9)
    tiny_cfg.train_dataloader.batch_sampler = dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(64, 0.5), (128, 0.5)], regime='D+', lanes=2
    )
    tiny_cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
    calibration = dict(type='mmsniper.BatchNormCalibrationHook', chips=8)
    tiny_cfg.custom_hooks = [dict(type='RecordChipsOfRank'), calibration]
    tiny_cfg.dump(tmp_path / 'mixed.py')

    def write(name, launcher, batch_size, *options):
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        settings = [f'custom_hooks.0.folder={out}', f'train_dataloader.batch_size={batch_size}']
        common = ['--launcher', launcher, '--work-dir', out / 'work', *options]
        return out, ['train', tmp_path / 'mixed.py', *common, '--cfg-options', *settings]

    return write


def start(jobs, path):
    """Two processes, in a group of their own."""
    path.write_text(json.dumps([jobs], default=str))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]), 'OMP_NUM_THREADS': '1'}
    log = path.with_suffix('.log').open('a')
    return subprocess.Popen(
        [*command, ROOT / 'tests/ranks.py', path], env=env, stdout=log, stderr=log, start_new_session=True
    )


def descendants(pid):
    """All processes that one has started, the deepest first."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [found for child in map(int, children) for found in (*descendants(child), child)]


@pytest.mark.slow
def test_two_processes_killed_in_mid_epoch_go_on_with_the_draw_of_one(arguments, tmp_path, monkeypatch):
    alone, straight = arguments('alone', 'none', 2)
    with monkeypatch.context() as patched:
        patched.setattr(sys, 'argv', [])
        patched.setattr(sys, 'path', [*sys.path])
        ranks.run([straight])
    expected = json.loads((alone / 'rank0.json').read_text())
    length = int((alone / 'work/last_checkpoint').read_text().split('iter_')[1].split('.')[0]) // 2
    assert length >= 6
    both, jobs = arguments('both', 'pytorch', 1)
    process, until = start(jobs, tmp_path / 'jobs.json'), time.time() + 200
    while not (both / f'work/iter_{length + 2}.pth').exists():
        assert process.poll() is None and time.time() < until, (tmp_path / 'jobs.log').read_text()[-3000:]
        time.sleep(0.01)
    for pid in [*descendants(process.pid), process.pid]:  # torchrun's workers have sessions of their own
        os.kill(pid, signal.SIGKILL)
    process.wait()
    last = int((both / 'work/last_checkpoint').read_text().split('iter_')[1].split('.')[0])
    assert length < last < 2 * length

    _, jobs = arguments('both', 'pytorch', 1, '--resume')
    process = start(jobs, tmp_path / 'jobs.json')
    assert process.wait(timeout=300) == 0, (tmp_path / 'jobs.log').read_text()[-3000:]
    shown = [json.loads((both / f'rank{rank}.json').read_text()) for rank in range(2)]
    assert [chip[4] for chip in shown[0]] == [chip[4] for chip in shown[1]], 'the same size at every step'
    assert {chip[4] for chip in shown[0]} == {64, 128}
    assert {chip[0] for chip in shown[0]} == {1}, 'resumed within the second epoch'
    together = sorted(map(str, shown[0] + shown[1]))
    assert together == sorted(map(str, expected[-len(together) :]))
    assert 0 < len(together) < sum(chip[0] == 1 for chip in expected)

    allow_mmengine_checkpoints()
    found, trained = (
        torch.load(both / 'work' / name, weights_only=True) for name in ('calibrated.pth', f'iter_{2 * length}.pth')
    )
    assert found['meta']['calibrated']['chips'] == 8, 'four of each process'
    changed = [
        name for name, value in found['state_dict'].items() if not torch.equal(value, trained['state_dict'][name])
    ]
    assert len(changed) == 60 and all('running' in name or 'num_batches' in name for name in changed)
