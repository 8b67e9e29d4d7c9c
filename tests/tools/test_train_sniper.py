"""The recipe end to end on a handful of images, stopped and called again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from shrink import shrink_data

from mmsniper.chips import NegativePool
from mmsniper.datasets.boxes import image_boxes
from mmsniper.visualization.canvas import MARGIN, PANEL, PROPOSAL

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(write_coco, some_images, planner_cfg, tmp_path):
    """A config of a user's own, inheriting the demo's with negative chips."""
    data = write_coco(some_images)
    ann_file = data['data_root'] + data['ann_file']
    data = {key: value for key, value in data.items() if key != 'type'}
    loader = dict(num_workers=0, persistent_workers=False)
    cfg = Config.fromfile(ROOT / 'configs/demo/sniper_tiny_neg_shapes.py')
    cfg.merge_from_dict(
        dict(
            train_dataloader=dict(**loader, batch_size=4, dataset=dict(planner=planner_cfg, dataset=data)),
            val_dataloader=dict(**loader, dataset=data),
            test_dataloader=dict(**loader, dataset=data),
            val_evaluator=dict(ann_file=ann_file),
            test_evaluator=dict(ann_file=ann_file),
            model=dict(roi_head=dict(bbox_head=dict(num_classes=2))),
            train_cfg=dict(max_epochs=1, val_begin=9),
        )
    )
    path = tmp_path / 'mine.py'
    cfg.dump(path)
    return path


@pytest.fixture
def recipe_rpn(monkeypatch):
    """The tools' way to a recipe's RPN."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from proposals import recipe_rpn

    return recipe_rpn


def recipe(config, *options):
    command = [sys.executable, ROOT / 'tools/train_sniper.py', config, '--work-dir', 'work', *options]
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=config.parent, env=env)


def test_the_recipe_runs_once_and_only_what_changed_again(config, recipe_rpn, run_tool):
    done = recipe(config)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    work = config.parent / 'work'
    assert (work / 'negative_chips.npz').exists()
    assert (work / 'rpn/epoch_2.pth').exists()
    assert (work / 'epoch_1.pth').exists()
    assert 'bbox_mAP' in done.stdout
    stages = json.loads((work / 'stages.json').read_text())
    assert [stages[name]['done'] for name in ('rpn', 'mine', 'detector', 'test')] == [True] * 4

    check_pictures(config, work, recipe_rpn, run_tool)

    again = recipe(config)
    assert again.stdout.count('done before') == 4

    stages['detector']['done'] = False  # as after a kill
    (work / 'stages.json').write_text(json.dumps(stages))
    resumed = recipe(config)
    assert resumed.stdout.count('done before') == 3
    assert 'resumed epoch: 1' in resumed.stdout + resumed.stderr

    changed = recipe(config, '--cfg-options', 'train_dataloader.dataset.negatives.per_image=1')
    assert changed.stdout.count('done before') == 2, 'RPN and mining stand, detector and test are made anew'


def check_pictures(config, work, recipe_rpn, run_tool):
    """tools/browse_chips.py draws the recipe's negative chips, and the proposals that they were mined from."""
    out = work.parent / 'chips'
    # From another folder: the recipe's paths are relative to where it ran.
    drawn = run_tool('browse_chips.py', config, '--recipe', work, '--out-dir', out)
    assert drawn.returncode == 0, drawn.stderr[-3000:]
    assert '8 pictures in' in drawn.stdout

    pool = NegativePool.load(work / 'negative_chips.npz')
    propose = recipe_rpn(work)
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset.dataset)
    assert pool.counts().sum() > 0
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        bboxes, crowd, size = image_boxes(info)
        positives = pool.planner.positive(bboxes[~crowd], size)
        again = pool.planner.negative(propose(info), size, positives, pool.min_proposals)
        mined = pool.chips(f'images/{i}.png')
        assert again.bboxes.tolist() == mined.bboxes.tolist()
        panels = cv2.imread(str(out / f'{i:05d}_{i}.png'))[: MARGIN + round(PANEL * size[1] / max(size))]  # no legend
        pink = (panels == PROPOSAL.colour).all(2)
        assert pink.any() == (len(mined) > 0)


def test_a_config_without_negatives_is_refused(run_tool, configs, tmp_path):
    refused = run_tool('train_sniper.py', configs / 'demo/sniper_tiny_shapes.py', '--work-dir', tmp_path / 'other')
    assert refused.returncode == 1
    assert 'the recipe needs rpn_config' in refused.stderr


def test_mining_passes_over_images_that_training_skips(config, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from train_sniper import stage_configs

    cfg = Config.fromfile(config)
    for on_bad_image, kind in (('raise', 'LoadImageFromFile'), ('skip', 'mmsniper.LoadImageOrBlank')):
        cfg.train_dataloader.dataset.on_bad_image = on_bad_image
        mine = stage_configs(cfg, tmp_path / 'pool.npz')[1]
        assert mine.test_dataloader.dataset.pipeline[0].type == kind
        # What training adds to annotations where it is missing, mining adds, too.
        assert mine.test_dataloader.dataset.type == 'mmsniper.CheckedCocoDataset'
        assert not mine.test_dataloader.dataset.evaluated


def test_mixed_sizes_are_the_detectors_alone(config, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from train_sniper import stage_configs

    cfg = Config.fromfile(config)
    mixed = dict(type='mmsniper.MixedSizeBatchSampler', sizes=[(64, 0.5), (128, 0.5)], lanes=3)
    cfg.train_dataloader.batch_sampler = mixed
    rpn, _, detector = stage_configs(cfg, tmp_path / 'pool.npz')
    assert rpn.train_dataloader.batch_sampler == dict(type='mmsniper.ChipBatchSampler', lanes=3)
    assert detector.train_dataloader.batch_sampler.type == mixed['type']
    assert 'The RPN trains on chips of one size' in capsys.readouterr().out


def test_joined_data_sets_are_mined_as_they_are_trained_on(monkeypatch, tmp_path, capsys):
    """PASCAL VOC's two years, which differ in their meta information; with an RPN made for another number of scales."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from train_sniper import fitted_min_proposals, stage_configs

    cfg = Config.fromfile(ROOT / 'configs/sniper/sniper_faster-rcnn_r50_fpn_voc0712.py')
    shrink_data(cfg, tmp_path)
    cfg.train_dataloader.dataset.negatives = dict(per_image=2)
    cfg.rpn_config = 'sniper_rpn_r50_fpn_2e_2scale_coco.py'
    rpn, mine, _ = stage_configs(cfg, tmp_path / 'pool.npz')
    assert 'negatives' not in rpn.train_dataloader.dataset
    train, mined = (DATASETS.build(one) for one in (cfg.train_dataloader.dataset.dataset, mine.test_dataloader.dataset))
    cfg.rpn_config = 'sniper_rpn_r50_fpn_2e_coco.py'
    other = stage_configs(cfg, tmp_path / 'pool.npz')[1]
    assert other.test_evaluator.min_proposals == mine.test_evaluator.min_proposals == [26, 11]
    assert 'at least [26, 11] proposals, not [26, 11, 11]' in capsys.readouterr().out
    cfg.rpn_options = dict(optim_wrapper=dict(optimizer=dict(lr=0.001)), train_cfg=dict(max_epochs=5))
    rpn, mine, _ = stage_configs(cfg, tmp_path / 'pool.npz')
    assert (rpn.train_cfg.max_epochs, rpn.train_cfg.val_begin, rpn.optim_wrapper.optimizer.lr) == (5, 1000, 0.001)
    wrong = Config(dict(test_evaluator=dict(min_proposals=[0, 11]), rpn_config='mine.py'))
    with pytest.raises(SystemExit, match=r'mine\.py: test_evaluator: min_proposals are whole numbers'):
        fitted_min_proposals(wrong.test_evaluator, 2, wrong)
    assert mine.test_dataloader.dataset.ignore_keys == ['dataset_type']
    assert len(train) == len(mined) == 6
    assert [train.get_data_info(n)['img_path'] for n in range(6)] == [
        mined[n]['data_samples'].img_path for n in range(6)
    ]
