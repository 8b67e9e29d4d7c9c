"""Batches of mixed sizes against padding, length of the training, and batch norm."""

import pytest
from checked import check, only, said, written

from mmsniper.checks import first_batch


@pytest.fixture
def mixed(tiny_cfg):
    tiny_cfg.train_dataloader.batch_sampler = dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(64, 0.5), (128, 0.5)], regime='B+'
    )
    tiny_cfg.train_dataloader.batch_size = 2
    return tiny_cfg


def test_sizes_that_are_padded(mixed, tmp_path):
    mixed.train_dataloader.batch_sampler.sizes = [(96, 0.5), (128, 0.5)]
    mixed.train_dataloader.batch_size = 4
    mixed.model.data_preprocessor.pad_size_divisor = 64
    mixed.train_dataloader.batch_sampler.regime = 'B'
    finding = only(check(mixed), 'mixed sizes', 'warning')
    assert 'pads to multiples of 64, and sizes [96] are none' in finding.what
    told = check(written(mixed, finding.write, tmp_path / 'mended'))
    assert any('96 is no multiple of 64 (pad_size_divisor)' in one.what for one in said(told, 'training data', 'error'))


def test_a_schedule_of_another_length(mixed, tmp_path):
    mixed.train_dataloader.batch_sampler.update(
        sizes=[[(64, 1.0)], [(128, 1.0)]], schedule=dict(type='decreasing', epochs=7)
    )
    finding = only(check(mixed), 'mixed sizes', 'warning')
    assert "the schedule 'decreasing' is of 7 epochs, the training of 3" in finding.what
    assert not said(check(written(mixed, finding.write, tmp_path / 'mended')), 'mixed sizes')
    mixed.train_dataloader.batch_sampler.schedule = dict(type='alternating')
    assert not said(check(mixed), 'mixed sizes')


def test_batch_norm_of_several_sizes(mixed, tmp_path):
    finding = only(check(mixed), 'mixed sizes', 'note')
    assert "batch norm's averages are of 2 sizes" in finding.what
    assert not said(check(written(mixed, finding.write, tmp_path / 'mended')), 'mixed sizes')
    mixed.model.backbone.norm_eval = True
    assert not said(check(mixed), 'mixed sizes')
    mixed.train_dataloader.batch_sampler = dict(type='mmsniper.ChipBatchSampler')
    assert not said(check(mixed), 'mixed sizes')


def test_batch_norm_of_the_size_that_has_the_fewest_chips(mixed, tmp_path):
    mixed.train_dataloader.batch_sampler.sizes = [(128, 0.5), (256, 0.5)]
    mixed.train_dataloader.batch_size = 8
    finding = only(check(mixed), 'batch norm', 'warning')
    assert 'take their statistics of 2 samples' in finding.what
    assert finding.write == 'train_dataloader = dict(batch_size=31)', 'whose 7.75 are 8'
    assert not said(check(written(mixed, finding.write, tmp_path / 'mended')), 'batch norm')
    mixed.load_from = 'weights.pth'
    assert 'norm_eval=True' in only(check(mixed), 'batch norm', 'warning').write
    mixed.custom_hooks = [dict(type='mmsniper.BatchNormCalibrationHook')]
    assert 'batch_size=31' in only(check(mixed), 'batch norm', 'warning').write, 'it refuses what is frozen'


def test_a_transform_that_changes_the_size(mixed):
    mixed.train_dataloader.dataset.pipeline.insert(3, dict(type='Pad', size=(160, 160)))
    finding = said(check(mixed), 'mixed sizes', 'warning')[0]
    assert 'a chip of 64 px comes out of the pipeline with 160 x 160' in finding.what


def test_copies_that_differ_by_a_flip_alone(mixed):
    mixed.train_dataloader.batch_sampler.regime = 'D+'
    pipeline = mixed.train_dataloader.dataset.pipeline
    finding = only(check(mixed), 'mixed sizes', 'warning')
    assert "'D+' has 4 copies of a chip" in finding.what and 'twice alike' in finding.what
    pipeline.insert(3, dict(type='PhotoMetricDistortion'))
    assert not said(check(mixed), 'mixed sizes', 'warning')


@pytest.mark.parametrize(
    ('regime', 'samples'), [('B', '2 samples of 128 px'), ('B+', '8 samples of 64 px'), ('D+', '8 samples of 64 px')]
)
def test_memory_is_of_the_heaviest_step(mixed, regime, samples):
    mixed.train_dataloader.batch_sampler.regime = regime
    assert samples in only(check(mixed, batch=True, device='cpu'), 'memory', 'note').what


def test_lack_of_memory_is_mended_by_a_batch_that_keeps_its_pixels(mixed, monkeypatch):
    monkeypatch.setattr(first_batch, 'total_memory', lambda: 10**6)
    assert 'batch_size=1)' in only(check(mixed, batch=True), 'memory', 'warning').write
    mixed.custom_hooks = [dict(type='mmsniper.BatchRateHook')]
    assert 'accumulative_counts' not in only(check(mixed, batch=True), 'memory', 'warning').write, 'it refuses it'
    mixed.train_dataloader.batch_sampler.sizes = [(96, 0.5), (128, 0.5)]
    mixed.train_dataloader.batch_size = 4
    finding = only(check(mixed, batch=True), 'memory', 'warning')
    assert 'No smaller number of chips keeps to its pixels' in finding.why


def test_what_cannot_be_drawn_is_an_error_with_the_number_that_works(mixed):
    mixed.train_dataloader.batch_sampler.sizes = [(64, 0.5), (192, 0.5)]
    mixed.train_dataloader.batch_size = 1
    (finding,) = said(check(mixed), 'training data', 'error')
    assert 'write train_dataloader = dict(batch_size=' in finding.what
