"""What is logged is what was trained on, for every kind of head; the training does not notice."""

import json
import multiprocessing
import os
import random
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.task_modules import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from shrink import dicts, shrink_model
from torch import nn

from mmsniper.hooks import ChipMonitorHook
from mmsniper.hooks.chip_counts import ChipCounts
from mmsniper.hooks.label_counts import LabelCounts
from mmsniper.hooks.undisturbed import undisturbed
from mmsniper.registry import DATASETS
from mmsniper.visualization import chip_legend, legend
from mmsniper.visualization.canvas import PREDICTION, VALID

HEADS = dict(
    faster={'rpn', 'roi'},
    mask={'rpn', 'roi'},
    cascade={'rpn', 'roi_s0', 'roi_s1', 'roi_s2'},
    retinanet={'bbox'},
    atss={'bbox'},
    fcos={'bbox'},
    vfnet={'bbox'},
    rtmdet={'bbox'},
    yolox={'bbox'},
)


class Watch(Hook):
    """Keeps batches, and each step's losses."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.samples, self.losses, self.sizes = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Note."""
        self.samples += data_batch['data_samples']
        self.sizes.append(len(data_batch['data_samples']))
        self.losses.append({key: value.tolist() for key, value in outputs.items() if isinstance(value, torch.Tensor)})


def run(cfg, tmp_path, name, monitor=None, **changes):
    """Train two epochs with this hook's options, or without; the runner, what was watched, the visualizer's folder."""
    cfg = cfg.copy()
    cfg.default_hooks = dict(logger=cfg.default_hooks.logger)  # none that seeds every iteration anew
    if monitor is not None:
        cfg.default_hooks['monitor'] = dict(type='mmsniper.ChipMonitorHook', **monitor)
    cfg.merge_from_dict(dict(experiment_name=f'{tmp_path}{name}'.replace('/', '_'), work_dir=str(tmp_path / name)))
    cfg.visualizer['name'] = name  # or it is that of the run before, with its folder
    cfg.merge_from_dict(dict(train_cfg=dict(max_epochs=2, val_begin=9), **changes))
    watch, runner = Watch(), Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return runner, watch, next((tmp_path / name).glob('*/vis_data'))


def scalars_of(folder):
    """This hook's records in a file of the visualizer."""
    lines = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    return [line for line in lines if any(key.startswith('chips/') for key in line)]


def weights(runner):
    """All of a model, batch statistics, too."""
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def test_losses_and_weights_are_bitwise_the_same_without_it(tiny_cfg, tmp_path):
    without, plain, _ = run(tiny_cfg, tmp_path, 'without')
    runner, watch, folder = run(tiny_cfg, tmp_path, 'with', dict(interval=1, draw_interval=1))
    assert len(list(folder.glob('vis_image/train_chips_*.png'))) == len(plain.losses) > 4
    assert watch.losses == plain.losses
    expected = weights(without)
    assert all(torch.equal(value, expected[key]) for key, value in weights(runner).items())


def test_numbers_are_those_of_what_was_trained_on(tiny_cfg, tmp_path, monkeypatch):
    results, init = [], SamplingResult.__init__

    def noting(self, pos_inds, neg_inds, *args, **kwargs):
        results.append((len(kwargs['priors'] if 'priors' in kwargs else args[0]), len(pos_inds)))
        init(self, pos_inds, neg_inds, *args, **kwargs)

    monkeypatch.setattr(SamplingResult, '__init__', noting)
    runner, watch, folder = run(tiny_cfg, tmp_path, 'run', dict(interval=2, draw_interval=0))
    records = scalars_of(folder)
    n_steps = len(watch.losses) // 2
    steps = [step for step in range(1, 2 * n_steps + 1) if (step - 1) % n_steps % 2 == 1 or step % n_steps == 0]
    assert [record['step'] for record in records] == steps
    valid = torch.cat([sample.gt_instances.valid for sample in watch.samples]).float()
    scales = np.bincount([sample.scale_idx for sample in watch.samples], minlength=3) / len(watch.samples)
    total, ends = len(watch.samples), np.cumsum([0, *watch.sizes])
    chips = np.diff(ends[[0, *steps]])  # what the mean of each record is over

    def mean(key):
        return float((np.array([record[f'chips/{key}'] for record in records]) * chips).sum() / total)

    assert mean('valid') == pytest.approx(float(valid.sum()) / total)
    assert mean('invalid') == pytest.approx(float((1 - valid).sum()) / total)
    ignored = sum(len(sample.ignored_instances) for sample in watch.samples)
    assert mean('ignored') == pytest.approx(ignored / total)
    assert [mean(f'scale_{name}') for name in ('2', '1', '128x128')] == pytest.approx(scales.tolist())
    anchors = max(n for n, _ in results)
    for name, is_head in (('rpn', lambda n: n == anchors), ('roi', lambda n: n < anchors)):
        positives = [n_positive for n, n_positive in results if is_head(n)]
        assert len(positives) == total
        assert mean(f'{name}_positives') == pytest.approx(sum(positives) / total)
        assert 0 < mean(f'{name}_left_out') < 1
    assert runner.message_hub.get_scalar('chips/valid').current() == records[-1]['chips/valid']
    log = next(folder.parent.glob('*.log')).read_text()
    assert not [line for line in log.splitlines() if 'Epoch(train)' in line and 'positives' in line]
    assert log.count('positives per chip') == 2 * 2, 'a line per epoch, with both heads'
    assert 'Epoch 2: chips by scale 2: ' in log


def test_the_last_iterations_count_however_a_loop_ends(tiny_cfg, tmp_path):
    """As of an epoch that was resumed midway, whose iterations are numbered from 0."""
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3, val_interval=9)
    tiny_cfg.merge_from_dict(dict(train_cfg=loop))
    cfg = tiny_cfg.copy()
    cfg.default_hooks = dict(logger=cfg.default_hooks.logger, monitor=dict(type='mmsniper.ChipMonitorHook', interval=2))
    cfg.default_hooks.monitor.draw_interval = 0
    runner = Runner.from_cfg(cfg)
    runner.train()
    folder = next(Path(cfg.work_dir).glob('*/vis_data'))
    assert [record['step'] for record in scalars_of(folder)] == [2, 3]


def step_cfg(kind, tiny_cfg, configs):
    """The model of a detector of some kind, small, with chip labels."""
    file = dict(
        faster='faster-rcnn_r50_fpn', cascade='cascade-rcnn_r50_fpn', retinanet='retinanet_r50_fpn',
        atss='atss_r50_fpn', fcos='fcos_r50_fpn', mask='mask-rcnn_r50_fpn',
        vfnet='vfnet_r50_fpn', rtmdet='rtmdet_s', yolox='yolox_s',
    )[kind]  # fmt: skip
    path = configs / f'_base_/models/sniper_{file}.py'
    path = path if path.exists() else configs / f'sniper/sniper_{file}_coco.py'
    model = Config.fromfile(path).model
    shrink_model(model)
    for node in dicts(model):
        if 'num_classes' in node:
            node.num_classes = 2
    return dict(tiny_cfg, model=model)


@pytest.mark.parametrize('kind', HEADS)
def test_heads_of_every_kind_are_counted(kind, tiny_cfg, configs, pipeline):
    pipeline[1]['with_mask'] = kind == 'mask'
    tiny_cfg.train_dataloader.dataset.pipeline = pipeline
    model = revert_sync_batchnorm(MODELS.build(step_cfg(kind, tiny_cfg, configs)['model']))
    batch = pseudo_collate([DATASETS.build(tiny_cfg.train_dataloader.dataset)[n] for n in range(4)])
    counts = ChipCounts(model, [2.0, 1.0, (128, 128)])
    assert set(counts.labels.names) == HEADS[kind]
    assert counts.scalars(counts.take()) == {}, 'nothing yet'
    model.train()
    model.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), 0.01)))
    counts.add(batch['data_samples'])
    scalars = counts.scalars(counts.take())
    for name in HEADS[kind]:
        assert scalars[f'chips/{name}_positives'] > 0
        assert 0 <= scalars[f'chips/{name}_left_out'] < 1
        # Of random weights, all proposals may have sizes in range.
        assert scalars[f'chips/{name}_left_out'] > 0 or name.startswith('roi')
    assert sum(scalars[f'chips/scale_{name}'] for name in ('2', '1', '128x128')) == pytest.approx(1)
    counts.labels.stop()
    heads = [module for module in model.modules() if hasattr(module, 'sampler') or hasattr(module, 'bbox_sampler')]
    samplers = [getattr(head, 'bbox_sampler', getattr(head, 'sampler', None)) for head in heads]
    flat = [one for each in samplers for one in (each if isinstance(each, list) else [each])]
    assert not any('sample' in vars(one) for one in flat) and not any('get_targets' in vars(head) for head in heads)
    model.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), 0.01)))
    assert counts.scalars(counts.take()) == {}


def test_positives_of_fcos_are_those_of_its_labels(tiny_cfg, configs):
    model = MODELS.build(step_cfg('fcos', tiny_cfg, configs)['model'])
    batch = pseudo_collate([DATASETS.build(tiny_cfg.train_dataloader.dataset)[n] for n in range(4)])
    labels, inner = [], model.bbox_head._get_targets_single

    def noting(*args, **kwargs):
        targets = inner(*args, **kwargs)
        labels.append(targets[0].clone())
        return targets

    model.bbox_head._get_targets_single = noting
    counts = LabelCounts(model)
    model.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), 0.01)))
    positives = sum(int(((label >= 0) & (label < 2)).sum()) for label in labels)
    left_out = sum(int((label == -1).sum()) for label in labels)
    assert counts.take()['bbox'].tolist() == [4, sum(map(len, labels)), positives, left_out]


class Noisy(nn.Module):
    """Draws at random, counts its calls and has parts in different modes."""

    def __init__(self):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()

    def forward(self, x):
        """Batch norms, with noise."""
        return self.frozen(self.norm(x + torch.rand(3) + random.random() + np.random.rand()))


def test_nothing_is_disturbed():
    model = Noisy().train()
    model.frozen.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def draws():
        torch.manual_seed(1), random.seed(1), np.random.seed(1)
        yield
        yield torch.rand(1).item(), random.random(), np.random.rand()

    quiet, disturbed = draws(), draws()
    next(quiet)
    expected = next(quiet)
    next(disturbed)
    with undisturbed(model):
        assert not model.norm.training and not torch.is_grad_enabled()
        model(torch.rand(4, 3))
    assert next(disturbed) == expected
    assert model.training and model.norm.training and not model.frozen.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(KeyError), undisturbed(model):
        raise KeyError
    assert model.norm.training and torch.is_grad_enabled()


def test_pictures_show_labels_and_under_them_predictions(tiny_cfg, tmp_path):
    _, watch, folder = run(tiny_cfg, tmp_path, 'run', dict(interval=0, draw_interval=3, max_chips=2, score_thr=0.0))
    assert not scalars_of(folder)
    n = len(watch.losses)
    steps = sorted(int(path.stem.split('_')[-1]) for path in folder.glob('vis_image/train_chips_*.png'))
    assert steps == sorted({1, *range(3, n + 1, 3), n})
    picture = cv2.imread(str(folder / f'vis_image/train_chips_{n}.png')).astype(int)
    assert picture.shape[0] == 24 + 2 * 128 + 4 + legend(picture.shape[1], chip_legend(predictions=True)).shape[0]

    def pixels(part, colour):
        return int((np.abs(part - colour).max(axis=2) < 3).sum())

    labels, predictions = picture[24 : 24 + 128], picture[24 + 128 : 24 + 256]
    assert pixels(predictions, PREDICTION.colour) > 20 > pixels(labels, PREDICTION.colour) == 0
    drawn = [watch.samples[k] for k in range(len(watch.samples) - watch.sizes[-1], len(watch.samples))][:2]
    assert any(sample.gt_instances.valid.any() for sample in drawn)
    assert pixels(labels, VALID.colour) > 20 > pixels(predictions, VALID.colour) == 0


def test_a_detector_that_fails_to_predict_is_trained_and_said(tiny_cfg, tmp_path, monkeypatch):
    def fails(self, *args, **kwargs):
        raise ZeroDivisionError('no predictions')

    monkeypatch.setattr(BaseModel, 'val_step', fails)
    runner, watch, folder = run(tiny_cfg, tmp_path, 'run', dict(draw_interval=1))
    log = next(folder.parent.glob('*.log')).read_text()
    assert log.count('predictions are not drawn, since the detector fails on training chips') == 1
    assert 'ZeroDivisionError: no predictions' in log
    assert len(list(folder.glob('vis_image/*.png'))) == len(watch.losses)


def test_tensorboard_shows_it(tiny_cfg, tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    tiny_cfg.visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='TensorboardVisBackend')])
    _, watch, folder = run(tiny_cfg, tmp_path, 'run', dict(interval=1, draw_interval=2))
    board = events.EventAccumulator(str(folder))
    board.Reload()
    assert {'chips/scale_128x128', 'chips/valid', 'chips/rpn_positives', 'loss'} <= set(board.Tags()['scalars'])
    assert [event.step for event in board.Scalars('chips/valid')] == list(range(1, len(watch.losses) + 1))
    assert board.Tags()['images'] == ['train_chips']


def rank(n, port, folder):
    """One of two processes, with as many chips as its number + 1."""
    os.environ.update(RANK=str(n), LOCAL_RANK=str(n), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo')
    counts = ChipCounts(nn.Identity(), [3.0, 1.0])
    sample = DetDataSample(gt_instances=InstanceData(valid=torch.tensor([True, True, False])))
    sample.set_metainfo(dict(scale_idx=n))
    counts.add([sample] * (n + 1))
    (folder / f'{n}.json').write_text(json.dumps(counts.scalars(counts.take())))


def test_numbers_are_of_all_processes(tmp_path):
    with socket.socket() as free:
        free.bind(('', 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=rank, args=(n, port, tmp_path)) for n in range(2)]
    [process.start() for process in processes]
    [process.join() for process in processes]
    one, other = (json.loads((tmp_path / f'{n}.json').read_text()) for n in range(2))
    assert one == other
    assert one['chips/scale_3'] == pytest.approx(1 / 3)
    assert (one['chips/valid'], one['chips/invalid']) == (2, 1)


@pytest.mark.parametrize('wrong', [dict(interval=-1), dict(draw_interval=-1), dict(max_chips=0)], ids=str)
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ChipMonitorHook(**wrong)
