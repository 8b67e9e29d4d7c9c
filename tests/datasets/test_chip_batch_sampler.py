"""Batches in an order in which images are loaded once: the same chips, pixel for pixel."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import MultiImageMixDataset
from mmengine.dataset import pseudo_collate
from tiff_files import write_tiff
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from mmsniper.datasets import ChipBatchSampler, ChipDataset, ChipPlanSampler

RANK = 'mmsniper.datasets.plan_sampler.get_dist_info'


@pytest.fixture
def make(write_coco, some_images, planner_cfg, pipeline):
    data = write_coco(some_images * 3)

    def build(before=(), **options):
        steps = [*pipeline[:2], *before, pipeline[2], dict(type='RandomFlip', prob=0.5), *pipeline[3:]]
        return ChipDataset(data, planner_cfg, steps, **options)

    return build


def loader_of(dataset, workers=0, lanes=4, batch_size=3, **options):
    sampler = ChipPlanSampler(dataset, seed=3)
    batches = ChipBatchSampler(sampler, batch_size, lanes) if lanes else BatchSampler(sampler, batch_size, False)
    return DataLoader(dataset, num_workers=workers, batch_sampler=batches, collate_fn=pseudo_collate, **options)


def seen(loader, epochs=2):
    """Everything that the network would get, by chip, in order."""
    found = []
    for epoch in range(epochs):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for batch in loader:
            for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
                gt = sample.gt_instances
                found.append(
                    (
                        (epoch, sample.img_id, sample.chip, sample.flip),
                        [inputs, gt.bboxes.tensor, gt.labels, gt.valid, sample.ignored_instances.bboxes.tensor],
                        gt.masks.masks,
                    )
                )
    return found


def assert_same(one, two):
    assert [key for key, *_ in one] == [key for key, *_ in two]
    for (_, tensors, masks), (_, others, other_masks) in zip(one, two, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))
        np.testing.assert_array_equal(masks, other_masks)


def test_chips_from_kept_images_are_those_from_images_loaded_for_each(make):
    keeping, loading = make(), make(cache_mb=0)
    kept, loaded = seen(loader_of(keeping)), seen(loader_of(loading))
    assert_same(kept, loaded)
    assert loading.image_cache.n_loaded == len(loaded)
    assert keeping.image_cache.n_loaded < 0.5 * len(loaded)
    # And those of a random order, in another one.
    at_random = seen(loader_of(make(), lanes=0))
    assert [key for key, *_ in at_random] != [key for key, *_ in kept]
    both = [
        sorted(found, key=lambda chip: (chip[0][0], str(chip[0]), int(chip[1][0].sum()))) for found in (at_random, kept)
    ]
    assert_same(*both)


@pytest.mark.parametrize(('workers', 'persistent'), [(1, False), (2, True), (4, False), (3, False)])
def test_any_number_of_workers_gives_the_same_batches(make, workers, persistent):
    assert_same(seen(loader_of(make(), workers, persistent_workers=persistent)), seen(loader_of(make())))


def test_chips_of_opened_images_are_those_of_loaded_ones_kept_or_not(make, pipeline):
    """Tiled TIFF, JPEG and PNG, all under the PNG's name."""
    loading = make(cache_mb=0)
    for n in range(len(loading.table)):
        path = Path(loading.dataset.get_data_info(n)['img_path'])
        image = cv2.imread(str(path))
        if n % 3 == 1:
            write_tiff(path, image, 64)
        elif n % 3 == 2:
            path.write_bytes(cv2.imencode('.jpg', image)[1].tobytes())
    expected = seen(loader_of(loading))
    pipeline[0] = dict(type='mmsniper.OpenImage')
    for cache_mb, most in ((1024, 0.5), (0.3, 0.9), (0, 1)):
        opening = make(cache_mb=cache_mb)
        assert_same(seen(loader_of(opening)), expected)
        assert opening.image_cache.n_loaded <= most * len(expected)
    assert opening.image_cache.n_loaded == len(expected)


def test_a_small_cache_changes_nothing_but_time(make):
    assert_same(seen(loader_of(make(cache_mb=0.3))), seen(loader_of(make())))


def test_ranks_together_see_what_one_process_does(make, monkeypatch):
    dataset = make()
    alone = list(loader_of(dataset, batch_size=4).batch_sampler)
    ranks = []
    for rank in (0, 1):
        monkeypatch.setattr(RANK, lambda rank=rank: (rank, 2))
        ranks.append(list(loader_of(dataset, batch_size=2).batch_sampler))
    steps = [[key for pair in zip(*batches, strict=True) for key in pair] for batches in zip(*ranks, strict=True)]
    assert steps[: len(alone) - 1] == alone[:-1]
    images = [{key.image_idx for batch in batches[8:12] for key in batch} for batches in ranks]
    assert not images[0] & images[1], 'no image is loaded on two ranks at a time'


def test_a_resumed_epoch_goes_on_with_the_same_batches(make):
    dataset = make()
    sampler = ChipPlanSampler(dataset, seed=3)
    batches = ChipBatchSampler(sampler, 3, lanes=4)
    whole = list(batches)
    sampler.skip(15, sampler.dealt)
    assert list(batches) == whole[5:]
    other = ChipBatchSampler(ChipPlanSampler(dataset, seed=3), 5, lanes=2)
    other.sampler.skip(15, sampler.dealt)
    assert [key for batch in other for key in batch] == [key for batch in whole[5:] for key in batch]


def test_a_transform_before_the_cut_does_not_write_to_what_chips_share(make):
    before = [dict(type='PhotoMetricDistortion'), dict(type='CutOut', n_holes=5, cutout_shape=(20, 20))]
    kept, loaded = make(before), make(before, cache_mb=0)
    assert_same(seen(loader_of(kept)), seen(loader_of(loaded)))
    assert kept.image_cache.n_loaded < loaded.image_cache.n_loaded


def test_partners_of_a_mix_are_the_same_with_kept_images(write_coco, some_images, planner_cfg, pipeline):
    data = write_coco(some_images * 3)
    mosaic = dict(type='mmsniper.MixChips', transform=dict(type='Mosaic', img_scale=(128, 128)), crop=(128, 128))

    def mixed(**options):
        steps = [pipeline[0], dict(type='LoadAnnotations', with_bbox=True), pipeline[2]]
        chips = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=steps, **options)
        dataset = MultiImageMixDataset(chips, [mosaic, pipeline[3]])
        found = []
        for batch in loader_of(dataset):
            for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
                found.append((sample.chip, int(inputs.sum()), sample.gt_instances.bboxes.tensor.tolist()))
        return found, dataset.dataset.image_cache.n_loaded

    (one, n_one), (two, n_two) = mixed(), mixed(cache_mb=0)
    assert one == two
    assert n_one < n_two


def test_it_refuses_what_it_cannot_order(make):
    dataset = make()
    with pytest.raises(TypeError, match='orders the chips of a ChipPlanSampler, but the loader has RandomSampler'):
        ChipBatchSampler(RandomSampler(dataset), 4)
    for lanes in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match='lanes is a number of workers'):
            ChipBatchSampler(ChipPlanSampler(dataset, seed=0), 4, lanes)
    for cache_mb in (-1, True, None, '512', float('inf'), float('nan')):
        with pytest.raises(ValueError, match='cache_mb is a number of megabytes per worker'):
            make(cache_mb=cache_mb)


def test_image_by_image_nothing_is_kept(make):
    dataset = make()
    sampler = ChipPlanSampler(dataset, seed=3, shuffle=False)
    keys = [key for batch in ChipBatchSampler(sampler, 3) for key in batch]
    assert [key.image_idx for key in keys] == sorted(key.image_idx for key in keys)
    assert {key.keep_until for key in keys} == {-1}


def test_steps_are_numbered_through_all_epochs(make):
    sampler = ChipPlanSampler(make(), seed=3)
    batches = ChipBatchSampler(sampler, 3, lanes=4)
    sampler.skip(6, (9, 2))  # resumed, from steps of nine chips
    steps = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        steps += [key.step for batch in batches for key in batch]
    assert steps == sorted(steps)
    assert all(key.keep_until in (-1, key.step) or key.keep_until > key.step for batch in batches for key in batch)


def test_transforms_between_loading_and_the_cut_are_named(make, messages):
    make([dict(type='PhotoMetricDistortion')])
    assert any('PhotoMetricDistortion stands before ChipSampler, so it runs anew' in line for line in messages())


def test_masks_are_bitmaps_for_transforms_that_take_no_polygons(make, pipeline):
    dataset = make()
    key = dataset.plan(0).key(0)
    assert dataset.pipeline.keep_polygons
    plain = dataset[key]['data_samples'].gt_instances.masks
    erasing = dict(type='RandomErasing', n_patches=1, ratio=0.2)
    steps = [*pipeline[:3], erasing, pipeline[3]]
    other = ChipDataset(dataset.dataset, dataset.planner, steps)
    assert not other.pipeline.keep_polygons
    assert other[key]['data_samples'].gt_instances.masks.masks.shape == plain.masks.shape
