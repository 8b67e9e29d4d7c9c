"""The learning rate follows the batch, and nobody but the optimizer notices."""

import pytest
from mmengine.optim import OptimWrapper
from training import train

from mmsniper.hooks import BatchRateHook

HOOK = 'mmsniper.BatchRateHook'


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.merge_from_dict(dict(train_cfg=dict(max_epochs=1, val_begin=9), train_dataloader=dict(batch_size=2)))
    tiny_cfg.train_dataloader.batch_sampler = dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(64, 0.5), (128, 0.5)], regime='B+'
    )
    return tiny_cfg


@pytest.mark.parametrize(('rule', 'factor'), [('linear', 4), ('sqrt', 2)])
def test_steps_of_more_chips_have_a_higher_rate(cfg, tmp_path, monkeypatch, rule, factor):
    stepped = []
    update = OptimWrapper.step

    def step(self, **kwargs):
        stepped.append(self.param_groups[0]['lr'])
        return update(self, **kwargs)

    monkeypatch.setattr(OptimWrapper, 'step', step)

    def run(name, *hooks):
        stepped.clear()
        cfg.custom_hooks = [*hooks]
        _, runner = train(cfg, work_dir=str(tmp_path / name))
        logged = runner.message_hub.get_scalar('train/lr').data[0].tolist()
        return list(stepped), logged, runner.optim_wrapper.param_groups[0]['lr']

    plain, plainly_logged, plain_last = run('plain')
    scaled, logged, last = run('scaled', dict(type=HOOK, rule=rule))
    ratios = [one / other for one, other in zip(scaled, plain, strict=True)]
    assert {round(ratio, 6) for ratio in ratios} == {1, factor}
    assert logged == plainly_logged and last == pytest.approx(plain_last)


def test_samples_of_another_size_are_named(cfg):
    cfg.custom_hooks = [dict(type=HOOK)]
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(len(pipeline) - 1, dict(type='Pad', size=(160, 160)))
    with pytest.raises(ValueError, match='which is 160 px, and MixedSizeBatchSampler has 64, 128'):
        train(cfg)


def test_it_refuses_what_has_no_such_rate(cfg):
    with pytest.raises(ValueError, match="rule is one of 'linear', 'sqrt'; got None"):
        BatchRateHook(None)
    cfg.custom_hooks = [dict(type=HOOK)]
    with pytest.raises(ValueError, match='accumulative_counts adds up the gradients of several'):
        train(cfg, optim_wrapper=dict(accumulative_counts=2))
    cfg.train_dataloader.batch_sampler = dict(type='mmsniper.ChipBatchSampler')
    with pytest.raises(TypeError, match='is for batches of mixed sizes'):
        train(cfg)
