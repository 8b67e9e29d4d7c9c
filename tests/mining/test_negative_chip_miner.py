import copy
import importlib.util
import os
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS as MMDET_METRICS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.runner import Runner

from mmsniper.chips import ChipPlanner, NegativePool
from mmsniper.mining import NegativeChipMiner

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location('scene', HERE / 'scene.py')
scene = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scene)
make_miner, make_sample = scene.make_miner, scene.make_sample

TINY_RPN = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    test_cfg=dict(rpn=dict(max_per_img=300)),
)


@pytest.fixture
def out_file(tmp_path):
    return tmp_path / 'mined' / 'negatives.npz'


def mine(miner, samples):
    for sample in samples:
        miner.process(None, [sample])
    return miner.evaluate(len(samples))


def test_nothing_seen_is_an_empty_file(out_file):
    assert mine(make_miner(out_file), [])['negative_chips/images'] == 0
    assert len(NegativePool.load(out_file)) == 0


def test_it_mines_what_the_planner_plans(out_file):
    samples = [make_sample(n) for n in range(5)]
    figures = mine(make_miner(out_file), samples)
    pool, planner = NegativePool.load(out_file), ChipPlanner(**scene.PLANNER)
    total = 0
    for sample in samples:
        positives = planner.positive(sample['gt_instances']['bboxes'].numpy(), (300, 200))
        expected = planner.negative(sample['pred_instances']['bboxes'].numpy(), (300, 200), positives, [6, 4])
        chips = pool.chips('train/' + Path(sample['img_path']).name)
        assert chips.bboxes.tolist() == expected.bboxes.tolist()
        assert chips.scale_idx.tolist() == expected.scale_idx.tolist()
        assert chips.scale.tolist() == expected.scale.tolist()
        total += len(chips)
    assert total > 20
    assert figures['negative_chips/chips_per_image'] == total / 5
    per_scale = [figures[f'negative_chips/chips_per_image_scale_{s}'] for s in range(2)]
    assert sum(per_scale) == pytest.approx(total / 5)
    assert figures['negative_chips/images'] == 5


def test_images_without_proposals_or_chips_are_counted(out_file):
    few = make_sample(0, n_proposals=3)
    none = make_sample(1, n_proposals=0)
    assert mine(make_miner(out_file), [few, none])['negative_chips/images_without_chips'] == 2


def test_only_the_best_proposals_are_looked_at(out_file):
    sample = make_sample(2)
    best = copy.deepcopy(sample)
    order = sample['pred_instances']['scores'].argsort(descending=True)[:60]
    best['pred_instances'] = {name: value[order] for name, value in sample['pred_instances'].items()}
    mine(make_miner(out_file, max_proposals=60), [sample])
    limited = NegativePool.load(out_file).chips('train/2.jpg').bboxes
    mine(make_miner(out_file), [best])
    assert limited.tolist() == NegativePool.load(out_file).chips('train/2.jpg').bboxes.tolist()
    mine(make_miner(out_file), [sample])
    assert len(NegativePool.load(out_file).chips('train/2.jpg')) > len(limited)


def test_ground_truth_may_be_mmdet_boxes(out_file):
    sample = make_sample(2)
    mine(make_miner(out_file), [sample])
    plain = out_file.read_bytes()
    sample['gt_instances']['bboxes'] = HorizontalBoxes(sample['gt_instances']['bboxes'])
    mine(make_miner(out_file), [sample])
    assert out_file.read_bytes() == plain


def test_an_image_seen_twice_counts_once(out_file):
    figures = mine(make_miner(out_file), [make_sample(0), make_sample(1), make_sample(0)])
    assert figures['negative_chips/images'] == 2


def test_images_of_one_key_are_refused_at_once(out_file):
    miner = make_miner(out_file)
    other = dict(make_sample(0), img_path='other/train/0.jpg')
    with pytest.raises(ValueError, match="same key 'train/0.jpg'.*data/train/0.jpg and other/train/0.jpg"):
        mine(miner, [make_sample(0), other])
    # ... and across ranks, at the end.
    results = [(path, (5, 5), [], []) for path in ('data/train/0.jpg', 'other/train/0.jpg')]
    with pytest.raises(ValueError, match='same key'):
        make_miner(out_file).compute_metrics(results)
    assert not out_file.exists()


def test_a_second_run_starts_afresh(out_file):
    miner = make_miner(out_file)
    mine(miner, [make_sample(0)])
    mine(miner, [dict(make_sample(0), img_path='other/train/0.jpg')])
    assert NegativePool.load(out_file).keys == ['train/0.jpg']


def test_missing_ground_truth_is_named_with_the_remedy(out_file):
    sample = make_sample(0)
    sample['gt_instances'] = {}
    with pytest.raises(ValueError, match=r'data/train/0.jpg: it comes without ground truth.*LoadAnnotations.*Resize'):
        make_miner(out_file).process(None, [sample])


def test_broken_proposals_name_the_image(out_file):
    sample = make_sample(3)
    sample['pred_instances']['bboxes'][7, 2] = torch.nan
    with pytest.raises(ValueError, match=r'data/train/3.jpg: box 7 is'):
        make_miner(out_file).process(None, [sample])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(min_proposals=[1, 2, 3]), '2 scales but 3 min_proposals'),
        (dict(min_proposals=0), 'min_proposals'),
        (dict(max_proposals=0), 'max_proposals'),
        (dict(out_file='negatives.pkl'), "must end with '.npz'"),
        (dict(planner={**scene.PLANNER, 'stride': 999}), 'stride'),
    ],
)
def test_bad_arguments_are_named(out_file, change, message):
    with pytest.raises(ValueError, match=message):
        make_miner(**dict(out_file=out_file) | change)


def test_it_builds_from_a_config_by_its_scoped_name(out_file):
    cfg = dict(type='mmsniper.NegativeChipMiner', planner=scene.PLANNER, min_proposals=3, out_file=str(out_file))
    assert isinstance(MMDET_METRICS.build(cfg), NegativeChipMiner)


def test_memory_does_not_grow_with_proposals(out_file):
    miner, sample = make_miner(out_file), make_sample(0, n_proposals=900)
    kept = []
    miner.process(None, [{**sample, 'img_path': 'data/train/first.jpg'}])  # loads what is compiled
    tracemalloc.start()
    for n in range(1000):
        miner.process(None, [{**sample, 'img_path': f'data/train/{n}.jpg'}])
        if n in (199, 999):
            kept.append(tracemalloc.get_traced_memory()[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(miner.results[0][2]) > 5
    assert (kept[1] - kept[0]) / 800 < 1500  # bytes per image; its proposals alone have 18000
    assert peak - kept[1] < 2**20


def test_two_ranks_mine_the_same_file_as_one(tmp_path):
    mine(make_miner(tmp_path / 'alone.npz'), [make_sample(n) for n in range(scene.N_IMAGES)])
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, HERE / 'two_ranks.py', '2', tmp_path / 'both.npz', port]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'both.npz').read_bytes() == (tmp_path / 'alone.npz').read_bytes()
    said = {line.split(': ')[1] for line in done.stdout.splitlines() if line.startswith('rank')}
    assert len(said) == 1, 'both ranks know the figures'


@pytest.mark.smoke
def test_mmdets_test_loop_mines_with_an_rpn_at_three_scales(write_coco, some_images, planner_cfg, tmp_path):
    dataset = write_coco(some_images)
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
    ]
    (tmp_path / 'rpn.py').write_text("_base_ = 'mmdet::_base_/models/rpn_r50_fpn.py'")
    cfg = Config.fromfile(tmp_path / 'rpn.py')
    cfg.merge_from_dict(dict(model=TINY_RPN))
    seen = []

    class Spy(NegativeChipMiner):
        def process(self, data_batch, data_samples):
            seen.extend(len(sample['pred_instances']['bboxes']) for sample in data_samples)
            truth = [sample['gt_instances']['bboxes'] for sample in data_samples]
            assert all((np.asarray(boxes)[:, 2:] <= (320, 300)).all() for boxes in truth), 'not in the image frame'
            super().process(data_batch, data_samples)

    out_file = tmp_path / 'negatives.npz'
    runner = Runner(
        model=dict(
            type='mmsniper.MultiScaleChipTTA',
            module=cfg.model,
            tta_cfg=dict(scales=planner_cfg['scales'], ranges=None, score_thr=0.0, max_per_img=-1),
        ),
        work_dir=str(tmp_path / 'work'),
        test_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(dataset, pipeline=load, test_mode=True),
        ),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=[Spy(planner_cfg, 3, str(out_file))],
        default_scope='mmdet',
        experiment_name=f'mine{tmp_path}'.replace('/', '_'),
    )
    figures = runner.test()
    assert figures['negative_chips/images'] == 4
    assert len(seen) == 4
    assert all(300 < n <= 900 for n in seen)
    assert figures['negative_chips/chips_per_image'] > 0
    pool = NegativePool.load(out_file)
    assert pool.keys == [f'images/{i}.png' for i in range(4)]
    assert pool.dataset == dict(classes=['thing', 'other'])
