"""Batches of several chip sizes: what is drawn, what a size means, and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.datasets import MultiImageMixDataset
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmsniper.chips import ChipPlanner, ChipTable
from mmsniper.datasets import ChipDataset, ChipPlanSampler, MixedSizeBatchSampler

RANK = 'mmsniper.datasets.plan_sampler.get_dist_info'
SIZES = [(96, 0.25), (128, 0.5), (192, 0.25)]


@pytest.fixture
def make(write_coco, some_images, planner_cfg, pipeline):
    data = write_coco(some_images * 5)

    def build(**options):
        steps = [*pipeline[:3], dict(type='RandomFlip', prob=0.5), pipeline[3]]
        return ChipDataset(data, planner_cfg, steps, **options)

    return build


@pytest.fixture
def dataset(make):
    return make()


def batches_of(dataset, sizes=SIZES, batch_size=9, seed=3, **options):
    return MixedSizeBatchSampler(ChipPlanSampler(dataset, seed=seed), batch_size, sizes, **options)


def sides(batch, chip_size=128):
    return {key.chip_size or chip_size for key in batch}


def places(batches):
    """Every key, without what says when it comes."""
    return [key._replace(step=0, keep_until=-1) for batch in batches for key in batch]


@pytest.mark.parametrize('keep', ['view', 'zoom'])
@pytest.mark.parametrize('regime', ['B', 'B+', 'D+'])
def test_every_batch_has_one_size_and_the_sizes_their_shares(dataset, regime, keep):
    batches = batches_of(dataset, regime=regime, keep=keep)
    for epoch in range(3):
        batches.sampler.set_epoch(epoch)
        found = list(batches)
        assert len(found) == len(batches)
        counts = Counter()
        for batch in found:
            (side,) = sides(batch)
            counts[side] += 1
            chips, copies = dict(zip(batches.sizes, zip(batches.chips, batches.copies, strict=True), strict=True))[side]
            assert len(batch) == chips * copies
            if regime != 'B':
                assert abs(len(batch) * side**2 / (9 * 128**2) - 1) <= 0.05
            assert set(Counter(key[:3] for key in batch).values()) <= {copies, 2 * copies}
            assert len({key.seed for key in batch}) == len(batch), 'copies are augmented differently'
        for side, share in SIZES:
            assert abs(counts[side] - share * len(found)) < 1
    assert sides(found[0]) | sides(found[1]) | sides(found[2]) != sides(found[0]), 'not size by size'


@pytest.mark.parametrize('regime', ['B', 'B+', 'D+'])
def test_every_chip_of_the_plan_comes_once_and_few_once_more(dataset, regime):
    batches = batches_of(dataset, regime=regime)
    seeds = {int(seed) for seed in batches.sampler.plan.seeds}
    shown = Counter(
        (key.image_idx, key.bbox, key.scale_idx)
        for batch in batches
        for key in batch[:: dict(zip(batches.sizes, batches.copies, strict=True))[sides(batch).pop()]]
    )
    plan = batches.sampler.plan
    planned = Counter(plan.key(n)[:3] for n in range(len(plan)))
    again = shown - planned
    assert not planned - shown
    assert again.total() < max(batches.chips) * 3
    assert seeds <= {key.seed for batch in batches for key in batch}


def test_of_the_same_zoom_every_image_is_planned_for_one_size(dataset):
    batches = batches_of(dataset, keep='zoom', regime='B')
    for epoch in range(3):
        batches.sampler.set_epoch(epoch)
        size_of, shown, windows = {}, Counter(), set()
        for batch in batches:
            for key in batch:
                assert size_of.setdefault(key.image_idx, key.chip_size) == key.chip_size
                width, height = dataset.table.sizes[key.image_idx]
                window = dataset.planner_of(key.chip_size).windows((width, height))[1][key.scale_idx]
                assert key.bbox[2] - key.bbox[0] == min(window, width)
                windows.add((key.scale_idx, key.chip_size, int(window)))
                shown[key[:3]] += 1
        assert set(size_of.values()) == {96, 128, 192}
        plan = batches.sampler.plan
        mine = [n for n in range(len(plan)) if size_of.get(int(plan.image_idx[n])) == plan.chip_size[n]]
        missing = Counter(plan.key(n)[:3] for n in mine) - shown
        assert missing.total() < 0.1 * len(mine), 'cut a little, as plans are'
        epoch = batches.epoch()
        assert epoch.n_left_out + (epoch.times > 0).sum() < 0.2 * len(epoch.rows), 'as many as fill the last steps'
    assert (1, 96, 96) in windows and (1, 192, 192) in windows, 'zoom 1 stays zoom 1'


@pytest.mark.parametrize('keep', ['view', 'zoom'])
def test_pixels_boxes_and_ranges_follow_the_size(make, keep):
    dataset = make()
    batches = batches_of(dataset, keep=keep)
    for batch in list(batches)[:6]:
        for key in batch:
            side = key.chip_size or 128
            sample = dataset[key]['data_samples']
            assert dataset[key]['inputs'].shape == (3, side, side)
            zoom = 1 if keep == 'zoom' else side / 128
            planner = dataset.planner_of(key.chip_size, key.zoom)
            assert planner.chip_size == side and planner.scales[0] == pytest.approx(2 * zoom)
            low, high = dataset.planner.valid_ranges[key.scale_idx] * sample.chip_scale
            assert sample.gt_instances.valid_range == pytest.approx((low, high))
            assert (
                sample.chip_scale == pytest.approx(side / 128 * 2 if keep == 'view' else 2, rel=0.02) or key.scale_idx
            )
            within = sample.gt_instances[sample.gt_instances.valid]
            assert (within.sizes >= low - 0.1).all() and (within.sizes < high + 0.1).all()


def test_in_the_same_view_the_same_objects_are_valid(dataset):
    """Whatever the size of the sample, that is but for slivers, which are a matter of network pixels."""
    plan = dataset.plan(0)
    for n in range(0, len(plan), 3):
        key = plan.key(n)
        usual = dataset[key]['data_samples'].gt_instances
        for side in (96, 192):
            other = dataset[key.sized(side, 128)]['data_samples'].gt_instances
            assert int(other.valid.sum()) == int(usual.valid.sum())
            assert other[other.valid].bboxes.tensor * (128 / side) == pytest.approx(
                usual[usual.valid].bboxes.tensor, abs=1.5
            )


@settings(suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 4).map(lambda n: 64 * n),
    st.integers(1, 16).map(lambda n: 32 * n),
    st.floats(0.05, 8),
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
)
def test_windows_of_the_same_view_are_the_very_same(chip_size, side, scale, size):
    planner = ChipPlanner([scale, (chip_size, chip_size)], [(None, None)] * 2, chip_size)
    other = planner.resized(side, side / chip_size)
    np.testing.assert_array_equal(other.windows(size)[1], planner.windows(size)[1])


def test_a_stride_as_long_as_the_chip_stays_so():
    for side in range(32, 1600, 32):
        assert ChipPlanner([1.0], [(None, None)], 416, 416).resized(side, side / 416).stride == pytest.approx(side)


@pytest.mark.parametrize('keep', ['view', 'zoom'])
@pytest.mark.parametrize('regime', ['B+', 'D+'])
def test_workers_change_nothing_and_the_cache_keeps_images(make, regime, keep):
    def seen(workers, **options):
        dataset = make(**options)
        batches = batches_of(dataset, regime=regime, keep=keep, lanes=4)
        loader = DataLoader(dataset, num_workers=workers, batch_sampler=batches, collate_fn=pseudo_collate)
        found = []
        for epoch in range(2):
            batches.sampler.set_epoch(epoch)
            for batch in loader:
                found += [
                    (sample.chip, sample.flip, int(inputs.sum()), sample.gt_instances.bboxes.tensor.tolist())
                    for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
                ]
        return found, dataset.image_cache.n_loaded

    alone, n_loaded = seen(0)
    assert n_loaded < len(alone) * (0.9 if keep == 'zoom' else 0.7), 'of steps as few as these'
    assert seen(0, cache_mb=0)[0] == seen(2)[0] == alone


@pytest.mark.parametrize('keep', ['view', 'zoom'])
@pytest.mark.parametrize('regime', ['B+', 'D+'])
def test_all_ranks_have_the_same_size_and_together_the_draw_of_one(dataset, monkeypatch, regime, keep):
    alone = list(batches_of(dataset, [(128, 0.5), (64, 0.5)], 6, regime=regime, keep=keep))
    ranks = []
    for rank in (0, 1):
        monkeypatch.setattr(RANK, lambda rank=rank: (rank, 2))
        ranks.append(list(batches_of(dataset, [(128, 0.5), (64, 0.5)], 3, regime=regime, keep=keep)))
    assert len(ranks[0]) == len(ranks[1]) == len(alone)
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert sides(parts[0]) == sides(parts[1]) == sides(whole)
        assert sorted(parts[0] + parts[1]) == sorted(whole)


def test_another_epoch_and_another_seed_draw_otherwise_and_the_same_alike(dataset):
    batches = batches_of(dataset)
    orders = []
    for epoch in (0, 1, 0):
        batches.sampler.set_epoch(epoch)
        orders.append([sides(batch).pop() for batch in batches])
    other = [sides(batch).pop() for batch in batches_of(dataset, seed=4)]
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != other
    fresh = batches_of(dataset)
    fresh.sampler.set_epoch(1)
    batches.sampler.set_epoch(1)
    assert list(fresh) == list(batches), 'of whatever was before'


def test_schedules_change_the_sizes_of_epochs_and_not_their_length(dataset, messages):
    low, high = [(64, 1.0)], [(128, 0.5), (192, 0.5)]

    def epochs(regime, **schedule):
        batches = batches_of(dataset, [low, high], regime=regime, schedule=schedule)
        found = []
        for epoch in range(4):
            batches.sampler.set_epoch(epoch)
            found.append(list(batches))
            assert len(found[-1]) == len(batches)
        return [set.union(*map(sides, found)) for found in found], found, batches

    assert epochs('B', type='in_order', epochs=4)[0] == [{64}, {64}, {128, 192}, {128, 192}]
    assert epochs('B', type='alternating')[0] == [{64}, {128, 192}, {64}, {128, 192}]
    drawn, found, batches = epochs('B+', type='decreasing', epochs=4)
    assert drawn[0] == {64} and drawn[3] == {128, 192}
    # As many steps of more chips: through the plan several times, each time with other augmentations.
    plan = batches.sampler.plan
    shown = Counter(key[:3] for batch in found[0] for key in batch)
    assert min(shown.values()) > 1
    assert len({key.seed for batch in found[0] for key in batch}) == sum(map(len, found[0]))
    assert any('come once more, differently augmented' in line for line in messages())
    assert len(plan) - 2 <= len({key[:3] for batch in found[3] for key in batch}) <= len(plan)


def test_chips_that_later_plans_have_more_are_left_out_and_said(dataset, messages):
    batches = batches_of(dataset, drop_last=True)
    for epoch in range(4):
        batches.sampler.set_epoch(epoch)
        assert len(list(batches)) == len(batches)
    assert any('drawn at random, are left out (said once)' in line for line in messages())
    assert len(batches_of(dataset)) == len(batches) + 1


@pytest.mark.parametrize('keep', ['view', 'zoom'])
@pytest.mark.parametrize('regime', ['B', 'D+'])
def test_a_resumed_epoch_goes_on_with_the_same_batches(dataset, keep, regime):
    batches = batches_of(dataset, keep=keep, regime=regime)
    batches.sampler.set_epoch(2)
    whole = list(batches)
    shown = batches.shown_after(0, batches.dealt, 4)
    assert shown == sum(
        len(set(batch)) // batches.copies[batches.sizes.index(sides(batch).pop())] for batch in whole[:4]
    )
    assert batches.steps_after(shown, batches.dealt) == len(whole) - 4
    batches.skip(shown, batches.dealt)
    assert list(batches) == whole[4:]
    assert list(batches) == whole, 'a skip lasts for one epoch'
    assert batches.shown_after(shown, batches.dealt, len(whole) - 4) == batches.total()
    batches.skip(batches.total(), batches.dealt)
    assert list(batches) == []


def test_another_batch_goes_on_with_the_chips_not_yet_shown(dataset):
    before = batches_of(dataset, regime='B+')
    whole = places(before)
    shown = before.shown_after(0, before.dealt, 5)
    other = batches_of(dataset, batch_size=18)
    assert other.refusal(before.dealt) is None
    left = other.steps_after(shown, before.dealt)
    other.skip(shown, before.dealt)
    rest = list(other)
    assert len(rest) == left
    chips = [key[:2] for key in places(rest)]
    n_again = len(chips) - (len(whole) - shown)
    assert 0 <= n_again <= len(rest[0])
    left = [key[:2] for key in whole[shown:]]
    own = len(rest[0]) - n_again
    assert Counter(left[:own]) <= Counter(key[:2] for key in places(rest[:1])), 'what has room twice is in this step'
    assert chips[len(rest[0]) :] == left[own:], 'in their order'
    done = other.shown_after(shown, before.dealt, 1)
    assert done == shown + own
    other.skip(before.total(), before.dealt)
    assert list(other) == [], 'an epoch that was at its end'
    other.skip(done, before.dealt)
    assert [key[:2] for key in places(other)][: len(whole) - done] == [key[:2] for key in whole[done:]]


@pytest.mark.parametrize(('batch_size', 'new'), [(9, 18), (18, 9)])
def test_a_second_resume_goes_on_where_the_first_would(dataset, batch_size, new):
    before, other = batches_of(dataset, batch_size=batch_size), batches_of(dataset, batch_size=new)
    for shown in np.cumsum([len(batch) for batch in before])[:-1].tolist():
        other.skip(shown, before.dealt)
        rest = list(other)
        for k in range(len(rest) + 1):
            other.skip(other.shown_after(shown, before.dealt, k), before.dealt)
            assert places(other) == places(rest[k:])
        seen = [key.seed for batch in before for key in batch][:shown] + [key.seed for batch in rest for key in batch]
        assert len({*seen}) == len(seen), 'what comes again is augmented differently'


def test_what_cannot_be_gone_on_with_is_said(dataset):
    mine = batches_of(dataset)
    assert mine.refusal((72, 8)) == 'was written without mixed sizes'
    assert mine.refusal(batches_of(dataset, [(128, 1)]).dealt) == 'has other sizes, shares, copies of chips'
    zoomed = batches_of(dataset, keep='zoom')
    assert 'other chips per step, steps per epoch,' in zoomed.refusal(
        batches_of(dataset, keep='zoom', batch_size=18).dealt
    )
    assert 'has other lanes, which' in zoomed.refusal(batches_of(dataset, keep='zoom', lanes=4).dealt)
    assert zoomed.refusal(zoomed.dealt) is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(sizes=[(96, 0.3), (128, 0.5)]), 'add up to 0.8, not to 1'),
        (dict(sizes=[(100, 0.5), (128, 0.5)]), r'100 is no multiple of 32 \(pad_size_divisor\).*write 96'),
        (dict(sizes=[(100, 1)], pad_size_divisor=64), 'write 128'),
        (dict(batch_size=1), r'write train_dataloader = dict\(batch_size=7\)'),
        (dict(sizes=[(32, 1)], keep='zoom', regime='B'), "32 is too small for keep='zoom', write 64 or more"),
        (
            dict(sizes=[(96, 0.001), (128, 0.999)]),
            r'a share of 0.001 is none of an epoch\'s \d+ steps for 96 px: write at',
        ),
        (dict(regime='C'), "regime is one of 'B', 'B\\+', 'D\\+'"),
        (dict(keep='size'), "keep is one of 'view', 'zoom'"),
        (dict(schedule=dict(type='decreasing', epochs=3), sizes=[SIZES]), 'is of two lists'),
        (dict(schedule=dict(type='decreasing'), sizes=[SIZES, SIZES]), 'and the epochs of the training'),
        (dict(schedule=dict(type='in_order', epochs=1), sizes=[SIZES, SIZES]), 'does not come to all 2 lists'),
        (dict(schedule=dict(type='alternating')), 'with a schedule, and only then'),
        (dict(lanes=0), 'lanes is a number of workers'),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, planner_cfg, options, message):
    planner_cfg['valid_ranges'][1] = (35, 90)
    with pytest.raises(ValueError, match=message):
        batches_of(make(), **{'sizes': SIZES, **options})


def test_samples_that_have_a_size_of_their_own_are_refused(dataset, write_coco, some_images, planner_cfg):
    with pytest.raises(ValueError, match='leave ChipPlanSampler'):
        MixedSizeBatchSampler(ChipPlanSampler(dataset, shuffle=False, seed=0), 9, SIZES)
    pyramid = dict(type='PyramidPlanner', scales=[1.0], valid_ranges=[(None, None)])
    snip = ChipDataset(write_coco(some_images, 'snip'), pyramid)
    with pytest.raises(TypeError, match='PyramidPlanner shows whole images'):
        batches_of(snip)
    mosaic = dict(type='mmsniper.MixChips', transform=dict(type='Mosaic', img_scale=(128, 128)), crop=(128, 128))
    with pytest.raises(TypeError, match='Mosaic makes images of one size, here are 3'):
        batches_of(MultiImageMixDataset(chips_cfg(dataset.dataset, planner_cfg, []), [mosaic]))


def chips_cfg(dataset, planner, pipeline):
    return dict(type='mmsniper.ChipDataset', dataset=dataset, planner=planner, pipeline=pipeline)


def make_skipping(dataset, planner, pipeline):
    """The same images, of which one cannot be read."""
    Path(dataset.dataset.get_data_info(0)['img_path']).write_bytes(b'no image')
    return ChipDataset(dataset.dataset, planner, pipeline, on_bad_image='skip')


def test_partners_of_a_mix_and_stand_ins_have_the_size_of_the_batch(dataset, planner_cfg, pipeline):
    paste = dict(type='mmsniper.MixChips', transform=dict(type='CopyPaste', max_num_pasted=2))
    mixed = MultiImageMixDataset(chips_cfg(dataset.dataset, planner_cfg, pipeline[:3]), [paste, pipeline[3]])
    for keep in ('view', 'zoom'):
        batches = batches_of(mixed, keep=keep)
        for batch in list(batches)[:4]:
            (side,) = sides(batch)
            assert {tuple(mixed[key]['inputs'].shape) for key in batch} == {(3, side, side)}
    dataset = make_skipping(dataset, planner_cfg, pipeline)
    batches = batches_of(dataset)
    for batch in list(batches)[:4]:
        (side,) = sides(batch)
        assert {dataset[key]['inputs'].shape for key in batch} == {(3, side, side)}
    assert dataset._bad.any()
    like = batches.sampler.plan.key(0)
    assert dataset.draw_key(np.random.default_rng(0), like).chip_size == like.chip_size


def test_negative_chips_keep_their_middle_and_get_the_sizes_window(dataset):
    planner = dataset.planner
    plan = dataset.plan(0)
    counts = np.bincount(plan.image_idx, minlength=len(dataset.table))
    table = ChipTable(np.append(0, np.cumsum(counts)), plan.chips)
    same = table.refitted(planner, dataset.table.sizes)
    np.testing.assert_array_equal(same.chips.bboxes, table.chips.bboxes)
    small = table.refitted(planner.resized(96), dataset.table.sizes)
    sizes = dataset.table.sizes[plan.image_idx]
    width = small.chips.bboxes[:, 2] - small.chips.bboxes[:, 0]
    windows = planner.resized(96).windows_of_images(sizes)[1][np.arange(len(plan)), plan.chips.scale_idx]
    np.testing.assert_array_equal(width, np.minimum(windows, sizes[:, 0]))
    off = small.chips.bboxes.reshape(-1, 2, 2).mean(1) - table.chips.bboxes.reshape(-1, 2, 2).mean(1)
    assert np.abs(off).max() <= 0.5, 'a smaller window around the same middle'


def test_best_chips_are_assigned_per_size(make):
    dataset = make(assign='best_chip')
    plan = dataset.plan(0, 0, (96, 128))
    assert len(plan) == len(plan.elsewhere[0]) - 1
    half = int((plan.chip_size == 96).sum())
    alone = dataset.plan(0)
    assert [plan.key(half + n).elsewhere for n in range(len(alone))] == [
        alone.key(n).elsewhere for n in range(len(alone))
    ]
    assert any(plan.key(n).elsewhere for n in range(half))


@pytest.mark.parametrize('sizes', [SIZES, dict(SIZES)], ids=['pairs', 'mapping'])
def test_a_config_keeps_the_sizes_through_file_dump_and_options(tmp_path, dataset, sizes):
    (tmp_path / 'a.py').write_text(f'batch_sampler = dict(sizes={sizes})\n')
    cfg = Config.fromfile(tmp_path / 'a.py')
    cfg.dump(tmp_path / 'b.py')
    again = Config.fromfile(tmp_path / 'b.py')
    for found in (cfg, again):
        assert batches_of(dataset, **found.batch_sampler).sizes == (96, 128, 192)
    again.merge_from_dict({'batch_sampler.sizes': [(128, 0.5), (192, 0.5)]} if sizes is SIZES else {})
    assert batches_of(dataset, **again.batch_sampler).sizes[-2:] == (128, 192)
    assert torch.is_tensor(dataset[0]['inputs']) and isinstance(again.batch_sampler, ConfigDict)
