"""mmengine's runner on chips: from config to checkpoint, stopped and resumed."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner, load_checkpoint

from mmsniper.compat import allow_mmengine_checkpoints


class RecordChips(Hook):
    """Keeps what each training step sees."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Note the batch's chips, flips and pixels."""
        for inputs, sample in zip(data_batch['inputs'], data_batch['data_samples'], strict=True):
            self.seen.append((runner.epoch, sample.img_id, sample.chip, sample.flip, int(inputs.sum())))


@pytest.fixture
def cfg(configs, write_coco, some_images, planner_cfg, tmp_path):
    cfg = Config.fromfile(configs / 'demo/sniper_tiny_shapes.py')
    dataset = write_coco(some_images)
    ann_file = dataset['data_root'] + dataset['ann_file']
    evaluation = dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            data_root=dataset['data_root'],
            ann_file='annotations.json',
            data_prefix=dict(img='images/'),
            metainfo=dataset['metainfo'],
        ),
    )
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'work'),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                persistent_workers=False,
                dataset=dict(planner=planner_cfg, dataset=evaluation['dataset']),
            ),
            val_dataloader=evaluation,
            test_dataloader=evaluation,
            val_evaluator=dict(ann_file=ann_file),
            test_evaluator=dict(ann_file=ann_file),
            train_cfg=dict(max_epochs=3, val_interval=3),
            model=dict(
                backbone=dict(base_channels=8),
                neck=dict(in_channels=[8, 16, 32, 64]),
                roi_head=dict(bbox_head=dict(num_classes=2)),
            ),
        )
    )
    return cfg


def train(cfg, **changes):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(dict(experiment_name=f'run{len(changes)}{cfg.work_dir}'.replace('/', '_'), **changes))
    record = RecordChips()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(record)
    runner.train()
    return record.seen, runner


def test_a_stopped_and_resumed_run_sees_what_a_straight_run_sees(cfg, tmp_path):
    straight, runner = train(cfg)
    assert {epoch for epoch, *_ in straight} == {0, 1, 2}
    assert 'coco/bbox_mAP' in runner.message_hub.log_scalars or 'val/coco/bbox_mAP' in runner.message_hub.log_scalars
    work_dir = str(tmp_path / 'stopped')
    first, _ = train(cfg, work_dir=work_dir, train_cfg=dict(max_epochs=1, val_begin=9))
    rest, runner = train(cfg, work_dir=work_dir, resume=True)
    assert runner._has_loaded
    assert {epoch for epoch, *_ in rest} == {1, 2}
    assert first + rest == straight


def test_two_runs_of_the_same_seed_agree(cfg, tmp_path):
    losses = []
    for run in 'ab':
        _, runner = train(cfg, work_dir=str(tmp_path / run), train_cfg=dict(max_epochs=2, val_begin=9))
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert len(losses[0]) > 3
    assert losses[0] == losses[1]


@pytest.mark.parametrize(('workers', 'persistent'), [(1, True), (4, False)])
def test_the_number_of_workers_changes_nothing(cfg, tmp_path, workers, persistent):
    changes = dict(train_cfg=dict(max_epochs=2, val_begin=9))
    alone, _ = train(cfg, work_dir=str(tmp_path / 'alone'), **changes)
    loader = dict(num_workers=workers, persistent_workers=persistent)
    assert train(cfg, work_dir=str(tmp_path / 'workers'), train_dataloader=loader, **changes)[0] == alone


@pytest.mark.smoke
def test_checkpoints_load_with_torchs_safety_on(cfg, tmp_path):
    _, runner = train(cfg, train_cfg=dict(max_epochs=1, val_begin=9))
    path = str(tmp_path / 'work' / 'epoch_1.pth')
    allow_mmengine_checkpoints()  # the fork's own loader takes off torch's list what it shares with ours
    content = torch.load(path, weights_only=True, map_location='cpu')
    assert content['meta']['epoch'] == 1
    assert content['message_hub']['log_scalars']
    load_checkpoint(runner.model, path)
