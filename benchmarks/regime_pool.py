"""Negative chips of regimes.py, as the recipe mines them: a weakly trained RPN's proposals on the training images."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from arms import ROOT, run
from mmengine.config import Config
from regime_configs import PARSING, Setup, config_of, group_norm

sys.path.insert(0, str(ROOT / 'tools'))
from train_sniper import stage_configs

RPN = dict(tiny='demo/sniper_rpn_tiny_shapes.py', r50='sniper/sniper_rpn_r50_fpn_2e_coco.py')
RPN['r18'] = RPN['r50']  # negative chips are of the data: any weak RPN's will do
# The RPN's part of the detector's pixels: two epochs of seven.
SHARE = 2 / 7


def mine(setup: Setup, args: Namespace, rate: float) -> Path:
    """File of negative chips; mined if it is missing, the same for all seeds.

    Args:
        setup: Of the data set.
        args: Of regimes.py.
        rate: Learning rate of the RPN.
    """
    out = args.work_dir / f'{setup.folder.name}_{setup.network}_pool'
    pool = out / 'negative_chips.npz'
    if pool.exists():
        return pool
    out.mkdir(parents=True, exist_ok=True)
    detector = config_of('sniper', setup, args.gigapixels * 1e9, rate, seed=0)
    detector.train_dataloader.dataset.negatives = dict(per_image=2)
    detector.rpn_config = str(ROOT / 'configs' / RPN[setup.network])
    detector.dump(out / 'detector.py')
    with PARSING:
        rpn, miner, _ = stage_configs(Config.fromfile(out / 'detector.py'), pool)
    steps = max(round(SHARE * args.gigapixels * 1e9 / setup.step_pixels), 1)
    for model in (rpn.model, miner.model.module):
        group_norm(model, setup.network)
    rpn.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
    rpn.param_scheduler = detector.param_scheduler
    rpn.optim_wrapper = detector.optim_wrapper
    rpn.default_hooks.checkpoint = dict(type='CheckpointHook', interval=steps, by_epoch=False)
    rpn.log_processor = dict(by_epoch=False)
    miner.test_dataloader.update(num_workers=0, persistent_workers=False)
    rpn.dump(out / 'rpn.py')
    miner.dump(out / 'mine.py')
    run([ROOT / 'tools/train.py', out / 'rpn.py', '--work-dir', out / 'rpn', '--no-check'], out / 'log.txt')
    checkpoint = (out / 'rpn/last_checkpoint').read_text()
    run([ROOT / 'tools/test.py', out / 'mine.py', checkpoint, '--work-dir', out / 'mine'], out / 'log.txt')
    return pool
