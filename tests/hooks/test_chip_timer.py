"""The time that is left of a training whose epochs differ in pixels."""

import pytest
from mmengine.hooks import Hook
from training import train

from mmsniper.hooks import ChipTimerHook
from mmsniper.registry import HOOKS

SECONDS = 1e-4


@pytest.fixture
def etas(monkeypatch):
    """What a training says at each step, if a step takes as long as it has pixels."""
    found = []

    class Recorder(Hook):
        priority = 'VERY_LOW'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            inputs = data_batch['inputs']
            found.append((len(inputs) * inputs[0].shape[-1] ** 2 * SECONDS, runner.message_hub.get_info('eta')))

    class Steady(ChipTimerHook):
        def _after_iter(self, runner, batch_idx, data_batch=None, outputs=None, mode='train'):
            if mode == 'train':
                inputs = data_batch['inputs']
                self.t = 0.0
                now = len(inputs) * inputs[0].shape[-1] ** 2 * SECONDS
                monkeypatch.setattr('mmengine.hooks.iter_timer_hook.time.time', lambda: now)
            super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
            monkeypatch.undo()

    HOOKS.register_module(module=Recorder, force=True)
    HOOKS.register_module(module=Steady, force=True)
    yield found
    for kind in (Recorder, Steady):
        HOOKS.module_dict.pop(kind.__name__)


def run(cfg, **batches):
    cfg.train_dataloader.update(batch_size=2, batch_sampler=dict(type='mmsniper.MixedSizeBatchSampler', **batches))
    hooks = dict(timer=dict(type='mmsniper.Steady'), config_check=dict(type='mmsniper.ConfigCheckHook', enabled=False))
    recorder = [dict(type='mmsniper.Recorder')]
    train(cfg, train_cfg=dict(max_epochs=3, val_begin=9), default_hooks=hooks, custom_hooks=recorder)


def test_it_follows_from_the_pixels_that_are_left(tiny_cfg, etas):
    schedule = dict(type='in_order', epochs=3)
    run(tiny_cfg, regime='B', sizes=[[(64, 1.0)], [(128, 1.0)], [(128, 1.0)]], schedule=schedule)
    assert {seconds for seconds, _ in etas} == {2 * size**2 * SECONDS for size in (64, 128)}
    for step, (_, eta) in enumerate(etas):
        assert eta == pytest.approx(sum(seconds for seconds, _ in etas[step + 1 :])), 'from the first step on'


def test_of_chips_of_one_size_it_is_mmengines(tiny_cfg, etas):
    train(
        tiny_cfg,
        train_cfg=dict(max_epochs=2, val_begin=9),
        default_hooks=dict(timer=dict(type='mmsniper.Steady')),
        custom_hooks=[dict(type='mmsniper.Recorder')],
    )
    (seconds,) = {seconds for seconds, _ in etas}
    assert [eta for _, eta in etas] == pytest.approx([seconds * left for left in reversed(range(len(etas)))])
