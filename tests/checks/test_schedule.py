"""Learning rate, warm-up, steps and validation against the batch and the number of iterations."""

import pytest
import torch
from checked import check, only, said, written
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from mmsniper.checks import PlannedRun
from mmsniper.checks.learning_rate import check_learning_rate
from mmsniper.checks.schedule import check_schedule


class Run(PlannedRun):
    """A run of an epoch length, without data."""

    steps_per_epoch = 100


def run(**settings):
    defaults = dict(
        train_dataloader=dict(batch_size=16),
        val_dataloader=dict(batch_size=1),
        train_cfg=dict(max_epochs=10),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.015)),
        auto_scale_lr=dict(enable=False, base_batch_size=128),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100)],
        val_evaluator=dict(),
    )
    cfg = Config(dict(defaults))
    cfg.merge_from_dict(dict(settings))
    return Run(cfg, world_size=8)


def found(check, planned):
    return [finding for finding in check(planned) if finding.level == 'warning']


def test_a_rate_for_another_batch(tiny_cfg, tmp_path):
    assert not found(check_learning_rate, run())
    planned = run(train_dataloader=dict(batch_size=2))
    planned.world_size = 1
    (finding,) = found(check_learning_rate, planned)
    assert 'the learning rate 0.015 is meant for 128 samples per step' in finding.what
    assert 'this run has 2: 64 times too high; 0.000234 fits' in finding.what
    assert finding.write == 'optim_wrapper = dict(optimizer=dict(lr=0.000234))\nauto_scale_lr = dict(base_batch_size=2)'
    planned.cfg.auto_scale_lr.enable = True
    assert not found(check_learning_rate, planned)
    tiny_cfg.auto_scale_lr.base_batch_size = 128
    finding = only(check(tiny_cfg), 'learning rate', 'warning')
    assert not said(check(written(tiny_cfg, finding.write, tmp_path / 'mended')), 'learning rate')


@pytest.mark.parametrize(('world', 'accumulated', 'fits'), [(8, 1, True), (4, 1, True), (1, 8, True), (2, 1, False)])
def test_samples_of_all_processes_and_steps_count(world, accumulated, fits):
    planned = run(optim_wrapper=dict(accumulative_counts=accumulated))
    planned.world_size = world
    assert (not found(check_learning_rate, planned)) == fits


def test_sgd_without_warm_up():
    (finding,) = found(check_learning_rate, run(param_scheduler=[dict(type='MultiStepLR', milestones=[8])]))
    assert 'without warm-up' in finding.what
    yolox = dict(type='mmdet.QuadraticWarmupLR', by_epoch=True, begin=0, end=5, convert_to_iter_based=True)
    assert not found(check_learning_rate, run(param_scheduler=[yolox]))
    adam = dict(optimizer=dict(type='AdamW', lr=0.0004))
    assert not found(check_learning_rate, run(optim_wrapper=adam, param_scheduler=[]))


SCHEDULES = {
    'warm-up longer than the run': (dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2000), 'takes 2000'),
    'warm-up of half of it': (dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=500), 'takes 500'),
    'a step after the end': (dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11]), 'at [11], but the run has'),
    'one that begins after it': (dict(type='ConstantLR', by_epoch=True, begin=12, end=10**9), 'begins at 12 epochs'),
    'a cosine over twice as much': (dict(type='CosineAnnealingLR', by_epoch=False, end=2000), 'over 2000 iterations'),
}


@pytest.mark.parametrize('name', SCHEDULES)
def test_a_schedule_for_another_length(name):
    scheduler, expected = SCHEDULES[name]
    planned = run(param_scheduler=[dict(type='ConstantLR', end=1), scheduler])
    (finding,) = found(check_schedule, planned)
    assert expected in finding.what and '1000 iterations (10 epochs)' in finding.what
    mend(planned, finding)


def mend(planned, finding):
    """Write the line of a finding, after which nothing is found; the rates of all iterations, by mmengine itself."""
    scope = {}
    exec(finding.write, scope)
    assert len(scope['param_scheduler']) == len(planned.cfg.param_scheduler)
    planned.cfg.param_scheduler = scope['param_scheduler']
    assert not [one for one in found(check_schedule, planned) if 'max_epochs' not in one.write]  # but for its length
    return rates(planned)


def rates(planned):
    """The learning rate at each iteration, as mmengine sets it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    built = []
    for scheduler in planned.cfg.param_scheduler:
        settings = dict(scheduler, optimizer=optimizer)
        if settings.get('convert_to_iter_based'):
            settings['epoch_length'] = planned.steps_per_epoch
        built.append(PARAM_SCHEDULERS.build(settings))
    seen = []
    for step in range(1, planned.steps + 1):
        seen.append(optimizer.param_groups[0]['lr'])
        for scheduler in built:
            ends_epoch = planned.by_epoch and step % planned.steps_per_epoch == 0
            if not scheduler.by_epoch or ends_epoch:
                scheduler.step()
    return seen


@pytest.mark.parametrize('epochs', range(1, 13))
@pytest.mark.parametrize('converted', [False, True])
def test_milestones_of_short_runs_are_reached(epochs, converted):
    steps = dict(type='MultiStepLR', by_epoch=True, milestones=[12, 15], convert_to_iter_based=converted)
    planned = run(param_scheduler=[steps], train_cfg=dict(max_epochs=epochs, val_interval=1))
    finding = next(one for one in found(check_schedule, planned) if 'lowers the learning rate' in one.what)
    seen = mend(planned, finding)
    assert seen[0] == 1 and seen[-1] == pytest.approx(0.01)
    assert seen.count(1.0) == pytest.approx(0.67 * planned.steps, abs=2)


def test_one_line_mends_all_that_is_wrong():
    """RTMDet's schedule of 300 epochs, in a run of 100."""
    warm_up = dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=9000)
    cosine = dict(
        type='CosineAnnealingLR', eta_min=0.05, begin=150, end=300, T_max=150, by_epoch=True, convert_to_iter_based=True
    )
    planned = run(param_scheduler=[warm_up, cosine], train_cfg=dict(max_epochs=100))
    *first, last = found(check_schedule, planned)
    assert len(first) == 2 and not any(finding.write for finding in first)
    seen = mend(planned, last)
    assert seen[0] < 0.01 and max(seen) == pytest.approx(1) and seen[-1] == pytest.approx(0.05, abs=0.01)
    assert seen.index(max(seen)) == pytest.approx(1000, abs=2)


BY_ITERATION = {
    'epochs of 100 steps': (dict(type='MultiStepLR', milestones=[8, 9]), [800, 900]),
    'iterations, but said to be epochs': (dict(type='MultiStepLR', milestones=(700, 900)), [700, 900]),
    'too late': (dict(type='MultiStepLR', by_epoch=False, milestones=[700, 2000]), [670, 920]),
    'no end': (dict(type='MultiStepLR', milestones=[8, 9], convert_to_iter_based=True), [800, 900]),
}


@pytest.mark.parametrize('name', BY_ITERATION)
def test_a_loop_of_iterations(name):
    scheduler, milestones = BY_ITERATION[name]
    planned = by_iteration(param_scheduler=[scheduler])
    (finding,) = found(check_schedule, planned)
    assert ('loop of iterations' in finding.why) == scheduler.get('by_epoch', True)
    seen = mend(planned, finding)
    assert [n for n in range(1, 1000) if seen[n] < seen[n - 1]] == milestones


@pytest.mark.parametrize('kind', ['StepLR', 'ExponentialLR'])
def test_what_cannot_be_told_gets_no_line(kind):
    (finding,) = found(check_schedule, by_iteration(param_scheduler=[dict(type=kind, gamma=0.9)]))
    assert 'counts epochs' in finding.what and not finding.write


def test_a_schedule_may_be_one_dict():
    (finding,) = found(check_schedule, run(param_scheduler=dict(_delete_=True, type='MultiStepLR', milestones=[90])))
    assert 'MultiStepLR' in finding.what


def test_schedules_that_are_left_alone():
    assert not found(check_schedule, by_iteration(param_scheduler=[dict(type='ReduceOnPlateauLR')]))
    planned = run()
    planned.cfg.param_scheduler = dict(generator=[dict(type='MultiStepLR', milestones=[99])])  # one per optimizer
    assert not found(check_schedule, planned)


def by_iteration(**settings):
    """A run of 1000 iterations, 100 of which would be an epoch."""
    planned = run(**settings)
    planned.cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=100)
    return planned


def test_epochs_that_are_converted_are_right_in_a_loop_of_iterations():
    cosine = dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=10, convert_to_iter_based=True)
    planned = by_iteration(param_scheduler=[cosine])
    assert not found(check_schedule, planned)


def test_steps_that_are_added_up_update_less_often():
    planned = run(optim_wrapper=dict(accumulative_counts=4), param_scheduler=[])
    (finding,) = found(check_schedule, planned)
    assert finding.what.endswith('1000 iterations, 100 per epoch, and updates the weights 250 times')
    assert finding.write.startswith('train_cfg = dict(max_epochs=80)')


FITTING = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=300),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 9]),
    dict(type='ConstantLR', factor=0.1, by_epoch=True, begin=5.33, end=10**9, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
]


@pytest.mark.parametrize('scheduler', FITTING, ids=lambda scheduler: scheduler['type'])
def test_one_that_fits(scheduler):
    assert not found(check_schedule, run(param_scheduler=[scheduler]))


def test_few_iterations_and_late_validation():
    planned = run(train_cfg=dict(max_epochs=3, val_interval=7), param_scheduler=[])
    few, late = found(check_schedule, planned)
    assert 'the run has 300 iterations, 100 per epoch' in few.what
    assert few.write.startswith('train_cfg = dict(max_epochs=20)')
    assert 'every 7 epochs, training has 3' in late.what
    planned = run()
    planned.cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=100)
    assert planned.steps == 800 and not found(check_schedule, planned)
