"""What mmengine and mmdet add around training works on chips: averages of weights, accumulation, compiling, mixing."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from shrink import shrink

CONFIGS = Path(__file__).parents[2] / 'configs'


class Record(Hook):
    """Keeps the losses, and the head's bias after each step."""

    def __init__(self):
        self.losses, self.biases = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Note one step."""
        self.losses.append(float(outputs['loss']))
        self.biases.append(runner.model.roi_head.bbox_head.fc_cls.bias.detach().clone())


@pytest.fixture
def train(tmp_path):
    """Trains two epochs of a config, shrunk and changed: the runner, and what was recorded."""

    def run(name, **changes):
        cfg = Config.fromfile(CONFIGS / f'sniper/{name}.py')
        shrink(cfg, tmp_path)
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        cfg.merge_from_dict(dict(train_cfg=dict(max_epochs=2, val_interval=9), **changes))
        cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0)]
        runner, record = Runner.from_cfg(cfg), Record()
        runner.register_hook(record)
        runner.train()
        assert all(map(torch.isfinite, map(torch.tensor, record.losses)))
        return runner, record

    return run


def test_the_moving_average_is_what_is_saved(train, tmp_path):
    hook = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.2, update_buffers=True, priority=49)
    _, record = train('sniper_faster-rcnn_r50_fpn_ema_coco', custom_hooks=[hook])
    saved = torch.load(tmp_path / 'work/epoch_2.pth', weights_only=True)
    name = 'roi_head.bbox_head.fc_cls.bias'
    assert torch.equal(saved['ema_state_dict'][f'module.{name}'], record.biases[-1])  # mmengine swaps the two
    assert not torch.equal(saved['state_dict'][name], record.biases[-1])


def test_gradients_accumulate(train):
    _, record = train('sniper_faster-rcnn_r50_fpn_coco', optim_wrapper=dict(accumulative_counts=2))
    moved = [not torch.equal(a, b) for a, b in zip(record.biases, record.biases[1:], strict=False)]
    assert moved[:3] == [True, False, True] or moved[:3] == [False, True, False]


@pytest.mark.slow
def test_a_compiled_model_trains_alike(train):
    """By the backend that runs what was traced as it is: others want a compiler, and longer still."""
    _, plain = train('sniper_faster-rcnn_r50_fpn_coco')
    _, compiled = train('sniper_faster-rcnn_r50_fpn_coco', compile=dict(backend='eager'))
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-3)


def test_mixed_chips_train(train):
    runner, _ = train('sniper_faster-rcnn_r50_fpn_mosaic_coco')
    seen = [sample for batch in runner.train_dataloader for sample in batch['data_samples']]
    assert any(isinstance(sample.valid_range, list) for sample in seen)
    assert {sample.img_shape for sample in seen} == {(128, 128)}


@pytest.mark.parametrize(('epochs', 'last'), [(1, 0.015), (5, 0.015), (6, 0.0015), (7, 0.0015)])
def test_the_rate_steps_once_and_stays_there(epochs, last, tmp_path):
    """As mmengine's runner builds the schedule, in a run of any length."""
    cfg = Config.fromfile(CONFIGS / 'sniper/sniper_faster-rcnn_r50_fpn_coco.py')
    shrink(cfg, tmp_path)
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler[0].end = 2
    runner = Runner.from_cfg(cfg)
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    rates = []
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    for _ in range(loop.max_iters):
        rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        runner.optim_wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[-1] == pytest.approx(last)
    step = min(int(5.33 * len(loop.dataloader)), loop.max_iters)
    assert rates[2:step] == pytest.approx([0.015] * (step - 2))
