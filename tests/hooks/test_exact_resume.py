"""A run stopped in mid-epoch and resumed sees the chips, and ends with the weights, of one that nobody stopped."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from training import train

from mmsniper.compat import allow_mmengine_checkpoints
from mmsniper.datasets import ChipBatchSampler, ChipPlanSampler
from mmsniper.hooks.exact_resume import ExactResumeHook

EVERY_TWO = dict(checkpoint=dict(by_epoch=False, interval=2, save_last=True))
NO_VAL = dict(max_epochs=2, val_begin=9)
STRAIGHT = {}


class Stop(Hook):
    """Ends a run after some iterations and their checkpoint, as a kill would."""

    priority = 'LOWEST'

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Raise at the iteration."""
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.merge_from_dict(dict(default_hooks=EVERY_TWO, train_cfg=NO_VAL, train_dataloader=dict(batch_size=2)))
    return tiny_cfg


def weights(work_dir):
    allow_mmengine_checkpoints()  # the fork's own loader takes off torch's list what it shares with ours
    return torch.load((work_dir / 'last_checkpoint').read_text(), weights_only=True)['state_dict']


def logged(work_dir):
    """All that the runs of a work directory have logged."""
    return '\n'.join(path.read_text() for path in work_dir.glob('*/*.log'))


def stopped(cfg, work_dir, after):
    """What a run sees until it is stopped."""
    with pytest.raises(KeyboardInterrupt):
        train(cfg, work_dir=str(work_dir), custom_hooks=[Stop(after)])


@pytest.fixture
def straight(request, cfg, tmp_path):
    """What an undisturbed run sees, its iterations per epoch, final weights; one for all tests of its config."""
    kind = 'mixed' in request.fixturenames
    if kind not in STRAIGHT:
        seen, runner = train(cfg, work_dir=str(tmp_path / 'straight'))
        length, trained = len(runner.train_dataloader), weights(tmp_path / 'straight')
        STRAIGHT[kind] = SimpleNamespace(seen=seen, length=length, weights=trained)
    return STRAIGHT[kind]


def test_it_goes_on_in_mid_epoch_to_bitwise_the_same_weights(cfg, straight, tmp_path):
    assert straight.length >= 5
    after = straight.length + 3  # in the second epoch; its last checkpoint is of an even iteration
    stopped(cfg, tmp_path / 'stopped', after)
    resumed_at = after // 2 * 2
    rest, runner = train(cfg, work_dir=str(tmp_path / 'stopped'), resume=True)
    assert runner.iter == runner.max_iters == 2 * straight.length
    assert rest == straight.seen[2 * resumed_at :]
    ours = weights(tmp_path / 'stopped')
    assert all(torch.equal(ours[name], value) for name, value in straight.weights.items())
    assert f'Epoch 2 goes on after {2 * (resumed_at - straight.length)} of its' in logged(tmp_path / 'stopped')


def test_a_checkpoint_at_an_epochs_last_iteration_repeats_nothing(cfg, straight, tmp_path):
    """Whether it was the epoch's or the iterations' checkpoint."""
    for n, by_epoch in enumerate((True, False)):
        work_dir = tmp_path / f'stopped{n}'
        hooks = dict(checkpoint=dict(by_epoch=by_epoch, interval=1 if by_epoch else straight.length))
        with pytest.raises(KeyboardInterrupt):
            train(cfg, work_dir=str(work_dir), default_hooks=hooks, custom_hooks=[Stop(straight.length + 1)])
        rest, runner = train(cfg, work_dir=str(work_dir), resume=True)
        assert rest == straight.seen[2 * straight.length :]
        assert runner.iter == 2 * straight.length


def test_another_number_of_workers_changes_no_loss(cfg, straight, tmp_path):
    loader = dict(num_workers=2, persistent_workers=True)
    train(cfg, work_dir=str(tmp_path / 'workers'), train_dataloader=loader)
    ours = weights(tmp_path / 'workers')
    assert all(torch.equal(ours[name], value) for name, value in straight.weights.items())


def test_another_batch_size_goes_on_with_the_chips_not_yet_shown(cfg, straight, tmp_path):
    stopped(cfg, tmp_path / 'stopped', straight.length + 2)
    shown = 2 * (straight.length + 2 - (straight.length + 2) % 2)
    rest, runner = train(cfg, work_dir=str(tmp_path / 'stopped'), resume=True, train_dataloader=dict(batch_size=4))
    assert rest == straight.seen[shown:]
    length = len(runner.train_dataloader)
    assert runner.iter == runner.max_iters == 2 * length
    assert 'a run with 2 samples per step, this one has 4' in logged(tmp_path / 'stopped')
    # Warm-up of 50 iterations: where it is at the end is that of a run with batches of four.
    assert all(s.last_step == 2 * length for s in runner.param_schedulers)
    other, undisturbed = train(cfg, work_dir=str(tmp_path / 'fours'), train_dataloader=dict(batch_size=4))
    rates = [r.optim_wrapper.param_groups[0]['lr'] for r in (runner, undisturbed)]
    assert rates[0] == pytest.approx(rates[1])


def test_another_number_of_ranks_deals_out_the_same_rest(cfg, monkeypatch):
    dataset = Runner.build_dataloader(cfg.train_dataloader, seed=0).dataset

    def dealt(world_size, shown, deal=(6, 2)):
        parts = []
        for rank in range(world_size):
            monkeypatch.setattr('mmsniper.datasets.plan_sampler.get_dist_info', lambda r=rank: (r, world_size))
            sampler = ChipPlanSampler(dataset, seed=0)
            ChipBatchSampler(sampler, 4, lanes=2)
            sampler.skip(shown, deal)
            parts.append(list(sampler))
        assert len({len(part) for part in parts}) == 1, 'or ranks would wait for each other'
        return [part[n][:6] for n in range(len(parts[0])) for part in parts]

    order = dealt(1, 1)
    for world_size in (1, 2, 3, 5):
        rest = dealt(world_size, 7)
        assert rest[: len(order) - 6] == order[6:]
        assert len(rest) - (len(order) - 6) < 2 * world_size
        assert set(rest) <= set(dealt(1, 0))


def test_a_skip_lasts_for_one_epoch(cfg):
    sampler = Runner.build_dataloader(cfg.train_dataloader, seed=0).batch_sampler.sampler
    whole = list(sampler)
    sampler.skip(3, sampler.dealt)
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole


def test_a_damaged_last_checkpoint_is_passed_over(cfg, straight, tmp_path):
    work_dir = tmp_path / 'stopped'
    stopped(cfg, work_dir, straight.length + 4)
    last = work_dir / (work_dir / 'last_checkpoint').read_text().split('/')[-1]
    last.write_bytes(last.read_bytes()[:-1000])
    train(cfg, work_dir=str(work_dir), resume=True)
    assert f'{last.name} is damaged; the one before is taken, iter_' in logged(work_dir)
    ours = weights(work_dir)
    assert all(torch.equal(ours[name], value) for name, value in straight.weights.items())


def test_a_copied_work_directory_uses_its_own_files(cfg, straight, tmp_path):
    stopped(cfg, tmp_path / 'first', straight.length + 1)
    shutil.copytree(tmp_path / 'first', tmp_path / 'copy')
    for path in (tmp_path / 'first').glob('*.pth'):
        path.write_bytes(b'of another run by now')
    train(cfg, work_dir=str(tmp_path / 'copy'), resume=True)
    ours = weights(tmp_path / 'copy')
    assert all(torch.equal(ours[name], value) for name, value in straight.weights.items())


def test_a_run_with_another_seed_goes_on_with_the_first(cfg, straight, tmp_path):
    stopped(cfg, tmp_path / 'stopped', 3)
    rest, _ = train(cfg, work_dir=str(tmp_path / 'stopped'), resume=True, randomness=dict(seed=5))
    assert 'Write randomness=dict(seed=0), so that epochs are exactly as long' in logged(tmp_path / 'stopped')
    first = straight.length * 2
    assert rest[: first - 4] == straight.seen[4:first], 'the chips of the first seed'


def test_a_checkpoint_without_the_hooks_note_begins_its_epoch_anew(cfg, tmp_path):
    hooks = dict(exact_resume=dict(type='EmptyCacheHook'))
    with pytest.raises(KeyboardInterrupt):
        train(cfg, work_dir=str(tmp_path / 'stopped'), default_hooks=hooks, custom_hooks=[Stop(4)])
    rest, runner = train(cfg, work_dir=str(tmp_path / 'stopped'), resume=True, train_dataloader=dict(batch_size=3))
    assert len(rest) == 2 * len(runner.train_dataloader.batch_sampler.sampler)
    assert runner.iter == runner.max_iters
    assert 'written without ExactResumeHook, or with an earlier one: its epoch begins anew' in logged(
        tmp_path / 'stopped'
    )


@pytest.fixture
def mixed(cfg):
    """The same run with batches of several chip sizes."""
    cfg.train_dataloader.batch_sampler = dict(
        type='mmsniper.MixedSizeBatchSampler', sizes=[(64, 0.5), (128, 0.5)], regime='D+', lanes=2
    )
    return cfg


def test_batches_of_mixed_sizes_go_on_to_bitwise_the_same_weights(mixed, straight, tmp_path):
    after = straight.length + 3
    stopped(mixed, tmp_path / 'stopped', after)
    rest, runner = train(mixed, work_dir=str(tmp_path / 'stopped'), resume=True)
    assert runner.iter == runner.max_iters == 2 * straight.length
    assert rest == straight.seen[-len(rest) :]
    ours = weights(tmp_path / 'stopped')
    assert all(torch.equal(ours[name], value) for name, value in straight.weights.items())


def test_mixed_sizes_go_on_at_another_batch_size_and_begin_anew_with_others(mixed, straight, tmp_path):
    stopped(mixed, tmp_path / 'stopped', straight.length + 2)
    shutil.copytree(tmp_path / 'stopped', tmp_path / 'copy')
    rest, runner = train(mixed, work_dir=str(tmp_path / 'stopped'), resume=True, train_dataloader=dict(batch_size=4))
    length = len(runner.train_dataloader)
    assert runner.iter == runner.max_iters == 2 * length
    assert 'a run with (2, 2) samples per step, this one has (4, 4)' in logged(tmp_path / 'stopped')
    loader = dict(batch_sampler=dict(sizes=[(128, 1.0)]))
    rest, runner = train(mixed, work_dir=str(tmp_path / 'copy'), resume=True, train_dataloader=loader)
    assert runner.iter == runner.max_iters == 2 * len(runner.train_dataloader)
    assert 'The checkpoint has other sizes, shares, copies of chips: its epoch begins anew' in logged(tmp_path / 'copy')
    assert {epoch for epoch, *_ in rest} == {1}


def test_loops_and_samplers_of_others_are_left_alone():
    hook, runner = ExactResumeHook(), SimpleNamespace(_train_loop=None, _resume=True)
    checkpoint = dict(meta=dict(epoch=1, iter=5))
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_save_checkpoint(runner, checkpoint)
    assert checkpoint == dict(meta=dict(epoch=1, iter=5))
