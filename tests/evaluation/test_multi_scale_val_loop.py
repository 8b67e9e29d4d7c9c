"""Validation at several scales has the figures of a test with --tta, and changes nothing else of the training."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.runner import Runner

ONE_LINE = dict(type='mmsniper.MultiScaleValLoop')


class Record(Hook):
    """Keeps what each validation finds."""

    priority = 'LOWEST'

    def __init__(self):
        self.figures, self.found = [], []

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Note one batch's detections."""
        self.found += [sample.pred_instances.bboxes.clone() for sample in outputs]

    def after_val_epoch(self, runner, metrics=None):
        """Note one epoch's figures."""
        self.figures.append(dict(metrics))


@pytest.fixture
def cfg(tiny_cfg):
    """Validation after each of two epochs; the pyramid follows from the planner; some detections from the start."""
    tiny_cfg.merge_from_dict(
        dict(
            train_cfg=dict(max_epochs=2, val_interval=1),
            val_cfg=ONE_LINE,
            tta_model=dict(tta_cfg=dict(scales='planner', ranges='planner', score_thr=0.0, max_per_img=30)),
            model=dict(test_cfg=dict(rcnn=dict(score_thr=0.0))),
            param_scheduler=[dict(type='ConstantLR', factor=1.0)],
        )
    )
    return tiny_cfg


def trained(cfg, **changes):
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(changes)
    cfg.experiment_name = f'run{cfg.work_dir}'.replace('/', '_')
    runner, record = Runner.from_cfg(cfg), Record()
    runner.register_hook(record)
    runner.train()
    return runner, record


def by_mmdets_script(cfg, checkpoint, tmp_path, run_tool):
    """Figures and detections of tools/test.py --tta."""
    work = tmp_path / f'test_{Path(checkpoint).stem}'
    cfg.dump(tmp_path / 'mine.py')
    arguments = [tmp_path / 'mine.py', checkpoint, '--tta', '--work-dir', work, '--out', work / 'found.pkl']
    work.mkdir()
    assert run_tool('test.py', *arguments).returncode == 0
    (figures,) = work.glob('*/*.json')
    found = [one['pred_instances']['bboxes'] for one in load(work / 'found.pkl')]
    return load(figures), found


@pytest.mark.smoke
def test_its_figures_are_those_of_a_test_with_tta(cfg, tmp_path, run_tool):
    """Of the moving average, too, which is what a checkpoint has: box by box, each epoch."""
    hook = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.2, update_buffers=True, priority=49)
    runner, record = trained(cfg, custom_hooks=[hook], default_hooks=dict(checkpoint=dict(save_best='auto')))
    assert runner.val_loop.model.scales == (2.0, 1.0, (128, 128))
    assert len(record.figures) == 2
    for epoch in range(2):
        figures, found = by_mmdets_script(cfg, f'{cfg.work_dir}/epoch_{epoch + 1}.pth', tmp_path, run_tool)
        assert {key: figures[key] for key in record.figures[epoch]} == record.figures[epoch]
        assert sum(map(len, found)) > 50
        for ours, theirs in zip(record.found[4 * epoch : 4 * epoch + 4], found, strict=True):
            assert torch.equal(ours, theirs)
    assert len(list(Path(cfg.work_dir).glob('best_coco_bbox_mAP_*.pth'))) == 1


def test_training_and_checkpoints_stay_what_they_are(cfg, tmp_path):
    """Bitwise, and a resumed run goes on."""
    multi, _ = trained(cfg)
    single, _ = trained(cfg, val_cfg=dict(type='ValLoop'), work_dir=str(tmp_path / 'single'))
    ours, theirs = (
        torch.load(Path(runner.work_dir) / 'epoch_2.pth', weights_only=True)['state_dict'] for runner in (multi, single)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    last = f'{cfg.work_dir}/epoch_1.pth'
    resumed, record = trained(cfg, resume=True, load_from=last, work_dir=str(tmp_path / 'resumed'))
    assert len(record.figures) == 1
    again = torch.load(Path(resumed.work_dir) / 'epoch_2.pth', weights_only=True)['state_dict']
    assert all(torch.equal(again[key], theirs[key]) for key in ours)


def test_mmdets_augmentation_does_as_well(cfg):
    flips = [dict(type='RandomFlip', prob=0.0)], [dict(type='RandomFlip', prob=1.0)]
    pack = dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction'),
    )
    transforms = [[dict(type='Resize', scale=1.0, keep_ratio=True)], [flip for (flip,) in flips], [pack]]
    cfg.tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=transforms)]
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=30))
    cfg.val_evaluator.ann_file = None  # never asked
    cfg.val_evaluator = dict(type='DumpDetResults', out_file_path=f'{cfg.work_dir}/found.pkl')
    cfg.val_dataloader.dataset.indices = [0, 1, 3]  # mmdet's gives the wrong type for an image without detections
    _, record = trained(cfg, train_cfg=dict(max_epochs=1))
    assert len(record.found) == 3


def test_joined_data_sets_all_get_the_pipeline(cfg):
    one = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(_delete_=True, type='ConcatDataset', datasets=[one, copy.deepcopy(one)])
    cfg.val_dataloader.dataset.pop('_delete_')
    loop = Runner.from_cfg(cfg).build_val_loop(cfg.val_cfg)
    for dataset in loop.dataloader.dataset.datasets:
        assert [type(step).__name__ for step in dataset.pipeline.transforms][-1] == 'PackDetInputs'
        assert 'Resize' not in str(dataset.pipeline)


@pytest.mark.parametrize('lacks', ['tta_model', 'tta_pipeline'])
def test_a_config_without_a_test_pyramid_is_told_where_to_get_one(lacks, cfg):
    cfg = Config({key: value for key, value in cfg.to_dict().items() if key != lacks})
    with pytest.raises(ValueError, match=f'validates with {lacks}, which the config lacks.*sniper_tta.py'):
        Runner.from_cfg(cfg).build_val_loop(cfg.val_cfg)
