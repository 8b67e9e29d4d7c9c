"""mmengine's runner on chips: from config to checkpoint, stopped and resumed."""

import pytest
import torch
from mmengine.runner import load_checkpoint
from training import train

from mmsniper.compat import allow_mmengine_checkpoints


def test_a_stopped_and_resumed_run_sees_what_a_straight_run_sees(tiny_cfg, tmp_path):
    straight, runner = train(tiny_cfg)
    assert {epoch for epoch, *_ in straight} == {0, 1, 2}
    assert 'coco/bbox_mAP' in runner.message_hub.log_scalars or 'val/coco/bbox_mAP' in runner.message_hub.log_scalars
    work_dir = str(tmp_path / 'stopped')
    first, _ = train(tiny_cfg, work_dir=work_dir, train_cfg=dict(max_epochs=1, val_begin=9))
    rest, runner = train(tiny_cfg, work_dir=work_dir, resume=True)
    assert runner._has_loaded
    assert {epoch for epoch, *_ in rest} == {1, 2}
    assert first + rest == straight


def test_two_runs_of_the_same_seed_agree(tiny_cfg, tmp_path):
    losses = []
    for run in 'ab':
        _, runner = train(tiny_cfg, work_dir=str(tmp_path / run), train_cfg=dict(max_epochs=2, val_begin=9))
        losses.append(runner.message_hub.get_scalar('train/loss').data[0].tolist())
    assert len(losses[0]) > 3
    assert losses[0] == losses[1]


@pytest.mark.parametrize(('workers', 'persistent'), [(1, True), (4, False)])
def test_the_number_of_workers_changes_nothing(tiny_cfg, tmp_path, workers, persistent):
    changes = dict(train_cfg=dict(max_epochs=2, val_begin=9))
    alone, _ = train(tiny_cfg, work_dir=str(tmp_path / 'alone'), **changes)
    loader = dict(num_workers=workers, persistent_workers=persistent)
    assert train(tiny_cfg, work_dir=str(tmp_path / 'workers'), train_dataloader=loader, **changes)[0] == alone


@pytest.mark.smoke
def test_checkpoints_load_with_torchs_safety_on(tiny_cfg, tmp_path):
    _, runner = train(tiny_cfg, train_cfg=dict(max_epochs=1, val_begin=9))
    path = str(tmp_path / 'work' / 'epoch_1.pth')
    allow_mmengine_checkpoints()  # the fork's own loader takes off torch's list what it shares with ours
    content = torch.load(path, weights_only=True, map_location='cpu')
    assert content['meta']['epoch'] == 1
    assert content['message_hub']['log_scalars']
    load_checkpoint(runner.model, path)
