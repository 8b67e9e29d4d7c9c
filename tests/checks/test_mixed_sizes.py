"""Batches of mixed sizes against padding, length of the training, and batch norm."""

import pytest
from checked import check, only, said, written


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
    assert finding.write == 'train_dataloader = dict(batch_size=32)'


def test_what_cannot_be_drawn_is_an_error_with_the_number_that_works(mixed):
    mixed.train_dataloader.batch_sampler.sizes = [(64, 0.5), (192, 0.5)]
    mixed.train_dataloader.batch_size = 1
    (finding,) = said(check(mixed), 'training data', 'error')
    assert 'write train_dataloader = dict(batch_size=' in finding.what
