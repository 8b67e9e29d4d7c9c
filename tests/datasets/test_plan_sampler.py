from threading import current_thread, main_thread

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate, worker_init_fn
from torch.utils.data import DataLoader

from mmsniper.datasets import ChipDataset, ChipPlanSampler


@pytest.fixture
def chip_dataset(write_coco, some_images, planner_cfg, pipeline):
    pipeline.insert(3, dict(type='RandomFlip', prob=0.5))
    return ChipDataset(write_coco(some_images * 3), planner_cfg, pipeline)


def epoch_of(loader, sampler, epoch):
    """What a training loop sees: chip, flip and pixels of every sample of an epoch, in order."""
    sampler.set_epoch(epoch)
    seen = []
    for batch in loader:
        for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            seen.append((sample.img_id, sample.chip, sample.flip, int(inputs.sum())))
    return seen


def loader_of(dataset, workers, persistent=False, seed=3):
    sampler = ChipPlanSampler(dataset, seed=seed)
    init = None if workers == 0 else lambda worker: worker_init_fn(worker, workers, rank=0, seed=seed)
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=persistent,
        collate_fn=pseudo_collate,
        worker_init_fn=init,
        drop_last=False,
    )
    return loader, sampler


def test_any_number_of_workers_gives_the_same_chips_and_pixels(chip_dataset):
    reference = None
    for workers, persistent in [(0, False), (1, False), (1, True), (4, False), (4, True)]:
        loader, sampler = loader_of(chip_dataset, workers, persistent)
        epochs = [epoch_of(loader, sampler, epoch) for epoch in range(3)]
        assert epochs[0] != epochs[1] != epochs[2]
        reference = reference or epochs
        assert epochs == reference


def test_an_epoch_does_not_depend_on_the_ones_before(chip_dataset):
    loader, sampler = loader_of(chip_dataset, 0)
    straight = [epoch_of(loader, sampler, epoch) for epoch in range(3)]
    resumed_loader, resumed = loader_of(chip_dataset, 0)
    assert epoch_of(resumed_loader, resumed, 2) == straight[2]


def test_seeds_differ(chip_dataset):
    one, two = (list(ChipPlanSampler(chip_dataset, seed=seed)) for seed in (1, 2))
    assert one != two


def test_length_stays_that_of_the_first_plan(chip_dataset):
    sampler = ChipPlanSampler(chip_dataset, seed=2)
    lengths = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        lengths.add(len(sampler.plan))
        keys = list(sampler)
        assert len(keys) == len(sampler) == sampler.num_samples
        distinct = len({key.seed for key in keys})
        assert distinct == min(len(sampler.plan), len(sampler))
    assert min(lengths) < len(sampler) < max(lengths), 'this test must see plans cut and topped up'


@pytest.mark.parametrize('world', [2, 3])
def test_ranks_share_one_plan(chip_dataset, monkeypatch, world):
    alone = list(ChipPlanSampler(chip_dataset, seed=5))
    ranks = []
    for rank in range(world):
        monkeypatch.setattr('mmsniper.datasets.plan_sampler.get_dist_info', lambda rank=rank: (rank, world))
        sampler = ChipPlanSampler(chip_dataset, seed=5)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler)
    assert len({len(keys) for keys in ranks}) == 1
    dealt = [key for step in zip(*ranks, strict=True) for key in step]
    assert dealt[: len(alone)] == alone


def test_without_shuffle_chips_come_image_by_image(chip_dataset):
    images = [key.image_idx for key in ChipPlanSampler(chip_dataset, shuffle=False, seed=0)]
    assert images == sorted(images)


def test_seed_is_drawn_when_none_is_given(chip_dataset):
    assert isinstance(ChipPlanSampler(chip_dataset).seed, (int, np.integer))


def test_it_refuses_what_has_no_plan(chip_dataset, write_coco, planner_cfg, pipeline):
    with pytest.raises(TypeError, match='needs a ChipDataset, but the loader has Subset'):
        ChipPlanSampler(torch.utils.data.Subset(chip_dataset, range(3)))
    slivers = [(99, 99, [dict(bbox=[5, 5, 50, 1])])]
    empty = ChipDataset(write_coco(slivers, 'empty'), planner_cfg, pipeline, empty_chips=0)
    with pytest.raises(ValueError, match='no chip'):
        ChipPlanSampler(empty)


def test_the_next_epoch_is_planned_in_the_background_of_this_one(chip_dataset, monkeypatch):
    calls = []
    plan = chip_dataset.plan

    def noted(epoch, seed, chip_sizes):
        calls.append((epoch, current_thread() is main_thread()))
        return plan(epoch, seed, chip_sizes)

    monkeypatch.setattr(chip_dataset, 'plan', noted)
    sampler = ChipPlanSampler(chip_dataset, seed=4)
    keys = list(sampler)
    sampler.set_epoch(1)
    assert calls == [(0, True), (1, False)]
    assert list(ChipPlanSampler(chip_dataset, seed=4)) == keys
    fresh = ChipPlanSampler(chip_dataset, seed=4)
    fresh.set_epoch(1)
    assert list(fresh) == list(sampler), 'the same plan as one that was not made ahead'
    sampler.set_epoch(7)
    assert (7, True) in calls, 'another epoch than the next one is planned when it is asked for'


def test_what_goes_wrong_in_the_background_is_raised(chip_dataset, monkeypatch):
    sampler = ChipPlanSampler(chip_dataset, seed=4)

    def fails(*args):
        raise MemoryError('no room')

    monkeypatch.setattr(chip_dataset, 'plan', fails)
    assert len(list(sampler)) == len(sampler), 'this epoch goes on'
    with pytest.raises(MemoryError, match='no room'):
        sampler.set_epoch(1)
