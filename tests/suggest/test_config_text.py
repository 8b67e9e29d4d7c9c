"""The written config: complete, and it trains."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from suggest_data import content_of
from training import train

from mmsniper.config_lines import written_scales
from mmsniper.suggest import config_text, data_files, read_base, read_fingerprint, suggest
from mmsniper.suggest.advice import advice
from mmsniper.suggest.config_text import with_num_classes

IMAGES = [
    (320, 240, [dict(bbox=[20 + 5 * i, 20, 20, 24]), dict(bbox=[100, 60, 130, 110], category_id=4)]) for i in range(12)
]


@pytest.fixture
def written(write_coco, demo, tmp_path):
    """Config of twelve images, as suggested on the demo's network for one epoch."""
    found_in = write_coco(IMAGES)
    data = read_fingerprint(found_in['data_root'] + found_in['ann_file'])
    out = tmp_path / 'mine.py'
    files = data_files(data, out, None, None, None)
    found = suggest(data, demo, epochs=1, n_train=files.n_train)
    out.write_text(config_text(data, demo, found, files, 'A comment,\nof two lines.'))
    return out, found, files


def test_it_says_all_that_differs(written, demo):
    path, found, files = written
    cfg = Config.fromfile(path)
    assert path.read_text().startswith(
        "# A comment,\n# of two lines.\n_base_ = 'mmsniper::demo/sniper_tiny_shapes.py'\n"
    )
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    chips = cfg.train_dataloader.dataset
    assert chips.type == 'mmsniper.ChipDataset'
    assert chips.planner.scales == [s if isinstance(s, float) else tuple(map(int, s)) for s in found.planner.scales]
    assert chips.planner.chip_size == found.planner.chip_size
    assert chips.dataset.metainfo.classes == cfg.val_dataloader.dataset.metainfo.classes == ('thing', 'other')
    assert chips.dataset.data_root + chips.dataset.ann_file == str(files.train)
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == str(files.val)
    assert cfg.tta_model.tta_cfg == dict(demo.cfg.tta_model.tta_cfg, scales='planner', ranges='planner')
    assert cfg.val_cfg.type == 'mmsniper.MultiScaleValLoop'
    assert cfg.optim_wrapper.optimizer == dict(demo.cfg.optim_wrapper.optimizer, lr=found.schedule.lr)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size == found.schedule.batch_size
    assert cfg.default_hooks.exact_resume.type == 'mmsniper.ExactResumeHook'


def test_data_with_no_folder_in_common(written, demo, tmp_path):
    _, found, files = written
    data = read_fingerprint(str(files.train))
    (tmp_path / 'apart.py').write_text(
        config_text(data, demo, found, replace(files, val_images=Path('/srv')), 'Apart.')
    )
    assert Config.fromfile(tmp_path / 'apart.py').train_dataloader.dataset.dataset.data_root == '/'


def test_it_trains_and_validates(written, tmp_path):
    cfg = Config.fromfile(written[0])
    cfg.merge_from_dict(dict(work_dir=str(tmp_path / 'work'), launcher='none'))
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.checkpoint.interval = 100
    _, runner = train(cfg)
    assert runner.iter == written[1].schedule.steps
    assert 'val/coco/bbox_mAP' in runner.message_hub.log_scalars
    assert np.isfinite(float(runner.message_hub.get_scalar('train/loss').current()))


def test_classes_of_several_stages_are_all_changed(configs):
    cfg = Config.fromfile(configs / 'sniper/sniper_cascade-rcnn_r50_fpn_coco.py')
    heads = with_num_classes(cfg.model.to_dict(), 7)['roi_head']['bbox_head']
    assert [head['num_classes'] for head in heads] == [7, 7, 7]
    assert heads[1]['type'] == 'Shared2FCBBoxHead'  # a list is inherited as a whole
    retina = Config.fromfile(configs / 'sniper/sniper_retinanet_r50_fpn_coco.py')
    assert with_num_classes(retina.model.to_dict(), 7) == dict(bbox_head=dict(num_classes=7))


@pytest.mark.parametrize(
    'name',
    [
        'mask-rcnn_r50_fpn_copy-paste_coco',
        'fcos_r50_fpn_coco',
        'faster-rcnn_r50_fpn_voc0712',
        'mask-rcnn_r50_fpn_lvis-v1',
    ],
)
def test_other_bases(name, configs, make, tmp_path):
    """Wrapped chips, no anchors, data and evaluators of other kinds."""
    base = read_base(str(configs / f'sniper/sniper_{name}.py'))
    data = make('one size')
    files = data_files(data, tmp_path / 'mine.py', None, None, None)
    found = suggest(data, base)
    path = tmp_path / 'mine.py'
    path.write_text(config_text(data, base, found, files, name))
    cfg = Config.fromfile(path)
    chips = cfg.train_dataloader.dataset
    while chips.type != 'mmsniper.ChipDataset':
        chips = chips.dataset
    assert chips.dataset.type == 'CocoDataset'
    assert chips.dataset.ann_file == files.train.name
    assert cfg.val_evaluator.type.endswith('CocoMetric')
    assert cfg.val_evaluator.ann_file == str(files.val)


def test_a_config_of_mmdets_put_on_chips_is_a_base(make, tmp_path):
    """As docs/recipes.md has it; its one scheduler need not be in a list."""
    lines = [
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'",
        'from mmsniper.inherit import on_chips',
        'on_chips(_base_)',
        "param_scheduler = dict(_delete_=True, type='MultiStepLR', by_epoch=True, milestones=[8, 11])",
    ]
    (tmp_path / 'my_chips.py').write_text('\n'.join(lines))
    base = read_base(str(tmp_path / 'my_chips.py'))
    assert base.single_scale == (1333, 800)
    data = make('one size')
    files = data_files(data, tmp_path / 'mine.py', None, None, None)
    found = suggest(data, base, epochs=24)
    (tmp_path / 'mine.py').write_text(config_text(data, base, found, files, 'mine'))
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.train_dataloader.dataset.planner.scales == written_scales(found.planner.scales)
    assert [one.milestones for one in cfg.param_scheduler] == [[16, 22]]
    assert cfg.model.bbox_head.num_classes == len(data.classes)


def test_a_base_of_whole_images_is_refused(configs):
    with pytest.raises(ValueError, match=r'trains on whole images \(PyramidPlanner\)'):
        read_base(str(configs / 'snip/snip_faster-rcnn_r50_fpn_coco.py'))


def test_a_base_without_chips_is_refused(configs):
    with pytest.raises(ValueError, match='trains on no chips'):
        read_base(str(configs / 'multi_scale/ms_faster-rcnn_r50_fpn_coco.py'))


def test_a_base_with_negative_chips_fits_its_rpn_too(configs, make, tmp_path):
    """The RPN keeps its part of the epochs, at the rate of its own config for the batch."""
    base = read_base(str(configs / 'sniper/sniper_faster-rcnn_r50_fpn_neg_coco.py'))
    data = make('log-uniform')
    found = suggest(data, base)
    path = tmp_path / 'mine.py'
    path.write_text(config_text(data, base, found, data_files(data, path, None, None, None), 'neg'))
    cfg = Config.fromfile(path)
    options, negatives = cfg.rpn_options, cfg.train_dataloader.dataset.negatives
    epochs = found.schedule.epochs
    assert options.train_cfg.max_epochs == -(-2 * epochs // 7) < epochs
    assert options.optim_wrapper.optimizer.lr == pytest.approx(0.015 * found.schedule.batch_size / 128, rel=0.05)
    assert options.param_scheduler[0].end <= 0.1 * options.train_cfg.max_epochs * found.schedule.steps_per_epoch
    assert 'train with negative chips' not in ' '.join(advice(data, base, found))
    assert negatives.per_image == max(round(found.score.chips_per_image / 4), 1)
    assert negatives.ann_file == base.cfg.train_dataloader.dataset.negatives.ann_file
    said = re.search(r'# (\d+) steps of \d+ chips, up to (\d+) with (\d+) negative per image', path.read_text())
    steps, most, per_image = map(int, said.groups())
    assert per_image == negatives.per_image
    assert most == round(steps * (1 + per_image / found.score.chips_per_image))


def test_a_base_with_masks_asks_for_masks(configs, write):
    base = read_base(str(configs / 'sniper/sniper_mask-rcnn_r50_fpn_coco.py'))
    path = write(content_of([(640, 480, [(10, 10, 50, 60)])] * 12))
    assert base.with_masks
    assert len(read_fingerprint(path)) == 12
    with pytest.raises(ValueError, match='12 annotations have no segmentation.*use a detector without a mask head'):
        read_fingerprint(path, base.with_masks)
