"""Batch norm, workers, disk and images: against the batch, the cores, what is free, and the annotations."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from checked import check, only, said, written
from mmengine.config import Config

from mmsniper.checks import PlannedRun, disk, first_batch, workers
from mmsniper.checks.normalization import has_weights


@pytest.mark.parametrize(
    ('batch', 'pretrained', 'write'),
    [
        (8, False, None),
        (8, True, None),
        (2, True, 'model = dict(backbone=dict(norm_cfg=dict(requires_grad=False), norm_eval=True))'),
        (2, False, 'train_dataloader = dict(batch_size=8)'),
    ],
)
def test_batch_norm_of_few_samples(tiny_cfg, tmp_path, batch, pretrained, write):
    tiny_cfg.train_dataloader.batch_size = batch
    if pretrained:
        tiny_cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    findings = said(check(tiny_cfg), 'batch norm', 'warning')
    assert [finding.write for finding in findings] == ([write] if write else [])
    if write:
        assert f'statistics of {batch} samples' in findings[0].what
        assert not said(check(written(tiny_cfg, write, tmp_path / 'mended')), 'batch norm')


def test_frozen_batch_norm_of_random_weights(tiny_cfg, tmp_path):
    tiny_cfg.model.backbone.update(norm_eval=True)
    finding = only(check(tiny_cfg), 'batch norm', 'warning')
    assert 'frozen (20 layers), but its weights are random' in finding.what
    assert 'batch_size=8' in finding.write, 'of the 4 there are it could not take statistics'
    assert not said(check(written(tiny_cfg, finding.write, tmp_path / 'mended')), 'batch norm')
    tiny_cfg.train_dataloader.batch_size = 8
    assert 'batch_size' not in only(check(tiny_cfg), 'batch norm', 'warning').write


@pytest.mark.parametrize(
    ('settings', 'trained'),
    [
        (dict(), False),
        (dict(model=dict(backbone=dict(init_cfg=dict(type='Kaiming', layer='Conv2d')))), False),
        (dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth')))), True),
        (dict(model=dict(backbone=dict(init_cfg=[dict(type='Pretrained', checkpoint='a.pth')]))), True),
        (dict(model=dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth'))), True),
        (dict(load_from='a.pth'), True),
    ],
)
def test_where_trained_weights_come_from(settings, trained):
    assert has_weights(Config(dict(dict(model=dict(backbone=dict(depth=18))), **settings))) == trained


@pytest.mark.parametrize(('n', 'lanes', 'write'), [(3, 8, 9), (6, 8, 6), (16, 8, 16), (4, 8, None), (0, 5, None)])
def test_workers_that_would_load_the_same_images(tiny_cfg, monkeypatch, n, lanes, write):
    monkeypatch.setattr(workers, 'available_cores', lambda: 16)
    tiny_cfg.train_dataloader.update(num_workers=n, batch_sampler=dict(type='mmsniper.ChipBatchSampler', lanes=lanes))
    found = said(check(tiny_cfg), 'workers', 'warning')
    assert [finding.write for finding in found] == (
        [f'train_dataloader = dict(batch_sampler=dict(lanes={write}))'] if write else []
    )


def test_more_workers_than_cores_and_more_images_than_memory(tiny_cfg, monkeypatch):
    monkeypatch.setattr(workers, 'available_cores', lambda: 2)
    monkeypatch.setattr(workers, 'total_memory', lambda: 10**6)
    tiny_cfg.train_dataloader.update(num_workers=8)
    findings = check(tiny_cfg)
    assert only(findings, 'workers', 'note').write == 'train_dataloader = dict(num_workers=2)'
    assert 'cache_mb=' in only(findings, 'workers', 'warning').write


@pytest.mark.parametrize(
    ('hook', 'kept'),
    [
        (dict(interval=1), 12),
        (dict(interval=5), 3),
        (dict(interval=1, max_keep_ckpts=2), 3),
        (dict(interval=100, by_epoch=False), 12),
        (dict(interval=1, max_keep_ckpts=2, save_best='auto'), 4),
    ],
)
def test_checkpoints_at_a_time(hook, kept):
    class Run(PlannedRun):
        steps_per_epoch = 100

    assert disk.kept_checkpoints(Run(Config(dict(train_cfg=dict(max_epochs=12)))), hook) == kept


@pytest.mark.parametrize(('free', 'level'), [(10**6, 'error'), (40 * 10**6, 'warning'), (10**12, 'note')])
def test_disk_for_checkpoints(tiny_cfg, monkeypatch, free, level):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(0, 0, free))
    finding = only(check(tiny_cfg), 'disk', level)
    assert '3 checkpoints of 8 MB' in finding.what
    assert ('max_keep_ckpts=2' in finding.write) == (level != 'note')


def test_the_size_of_a_checkpoint_is_that_of_the_file(tiny_cfg):
    from training import train

    _, runner = train(tiny_cfg, train_cfg=dict(max_epochs=1, val_begin=9))
    size = os.path.getsize(Path(runner.work_dir) / 'epoch_1.pth')
    assert disk.checkpoint_bytes(PlannedRun.of_runner(runner)) == pytest.approx(size, rel=0.1)


def image(cfg, n):
    return Path(cfg.train_dataloader.dataset.dataset.data_root) / f'images/{n}.png'


IMAGES = {
    'missing': (lambda path: path.unlink(), '1 of 4 files are not there'),
    'empty': (lambda path: path.write_bytes(b''), 'the file is empty'),
    'another size': (lambda path: cv2.imwrite(str(path), np.zeros((9, 8, 3), np.uint8)), 'the file is 8 x 9 pixels'),
    '16 bits': (lambda path: cv2.imwrite(str(path), np.zeros((150, 100, 3), np.uint16)), 'has 16 bits per channel'),
}


@pytest.mark.parametrize('name', IMAGES)
def test_images(tiny_cfg, name):
    change, expected = IMAGES[name]
    change(image(tiny_cfg, 2))
    train, val = said(check(tiny_cfg), 'images', 'error')
    assert expected in train.what and '2.png' in train.what and train.what.startswith('train_dataloader')
    assert val.what.startswith('val_dataloader')
    tiny_cfg.train_dataloader.dataset.on_bad_image = 'skip'
    levels = [finding.level for finding in said(check(tiny_cfg), 'images') if expected in finding.what]
    assert sorted(levels) == ['error', 'warning']


def test_some_or_all_images(tiny_cfg, monkeypatch):
    from mmsniper.checks import images

    monkeypatch.setattr(images, 'DECODED', 2)
    image(tiny_cfg, 2).write_bytes(b'')
    assert not said(check(tiny_cfg), 'images', 'error'), 'the first and the last were decoded'
    assert len(said(check(tiny_cfg, all_images=True), 'images', 'error')) == 2


@pytest.mark.parametrize('wrapped', ['RepeatDataset', 'ConcatDataset', 'ClassBalancedDataset'])
def test_images_of_joined_and_repeated_data_sets(tiny_cfg, wrapped):
    """They are decoded by the pipeline inside, and not taken for decoded."""
    inner = tiny_cfg.val_dataloader.dataset
    tiny_cfg.val_dataloader.dataset = dict(
        RepeatDataset=dict(type='RepeatDataset', times=2, dataset=inner),
        ConcatDataset=dict(type='ConcatDataset', datasets=[inner, inner]),
        ClassBalancedDataset=dict(type='ClassBalancedDataset', oversample_thr=1e-3, dataset=inner),
    )[wrapped]
    n = 4 if wrapped == 'ClassBalancedDataset' else 8
    notes = [finding.what for finding in said(check(tiny_cfg), 'images', 'note')]
    assert f'val_dataloader: {n} files looked up, {n} of them decoded' in notes
    image(tiny_cfg, 2).write_bytes(b'')
    found = [finding.what for finding in said(check(tiny_cfg), 'images', 'error')]
    assert any(what.startswith('val_dataloader') and f' of {n} images' in what for what in found)


def test_lack_of_memory_is_mended_by_smaller_batches_that_add_up(tiny_cfg, monkeypatch):
    monkeypatch.setattr(first_batch, 'total_memory', lambda: 10**6)
    accumulated = 'train_dataloader = dict(batch_size=1)\noptim_wrapper = dict(accumulative_counts=4)'
    assert only(check(tiny_cfg, batch=True), 'memory', 'warning').write == accumulated
    tiny_cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=900, val_interval=900)
    finding = only(check(tiny_cfg, batch=True), 'memory', 'warning')
    assert 'train_cfg = dict(max_iters=3600)' in finding.write, 'or it sees a quarter of the samples'
    tiny_cfg.train_dataloader.batch_size = 1
    finding = only(check(tiny_cfg, batch=True), 'memory', 'warning')
    assert 'One sample is the least' in finding.why and 'AmpOptimWrapper' in finding.write
