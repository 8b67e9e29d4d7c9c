"""Class names of all data sets agree; images that would turn black are refused; what was skipped is said."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.runner import Runner
from training import train

from mmsniper.hooks import DataCheckHook
from mmsniper.image_files import DeepImageError

LOAD = [dict(type='LoadImageFromFile')]


def runner(train=None, val=None, test=None):
    def loader(classes):
        dataset = SimpleNamespace(metainfo=dict(classes=classes))
        return classes and SimpleNamespace(dataset=dataset, batch_sampler=None, num_workers=0)

    loaders = dict(train_dataloader=loader(train), val_dataloader=loader(val), test_dataloader=loader(test))
    return SimpleNamespace(val_loop=val, **loaders)


def test_training_and_validation_have_the_same_classes():
    DataCheckHook().before_train(runner(train=('a', 'b'), val=['a', 'b']))
    DataCheckHook().before_train(runner(train=('a', 'b')))
    with pytest.raises(ValueError, match=r"train_dataloader has the classes \('a', 'b'\), val_dataloader \('b', 'a'\)"):
        DataCheckHook().before_train(runner(train=('a', 'b'), val=('b', 'a')))
    with pytest.raises(ValueError, match='labels are compared by number'):
        DataCheckHook().before_train(runner(train=('a', 'b'), val=('a', 'b', 'c')))


def test_joined_data_sets_have_a_list_of_meta_information():
    run = runner(train=('a', 'b'), val=('b', 'a'))
    joined = run.train_dataloader.dataset
    joined.metainfo = [dict(classes=('b', 'a'), palette=[1]), dict(classes=('b', 'a'), palette=[2])]
    DataCheckHook().before_train(run)
    joined.metainfo[1]['classes'] = ('c', 'd')
    DataCheckHook().before_train(run)  # nobody knows
    joined.metainfo = [dict(classes=('a', 'b')), dict(classes=('a', 'b'))]
    with pytest.raises(ValueError, match='labels are compared by number'):
        DataCheckHook().before_train(run)
    hook = DataCheckHook()
    hook.after_load_checkpoint(None, dict(meta=dict(dataset_meta=joined.metainfo)))
    assert hook.trained == ('a', 'b')


def check_test(trained, classes):
    hook = DataCheckHook()
    hook.after_load_checkpoint(None, dict(meta=dict(dataset_meta=dict(classes=trained))) if trained else {})
    hook.before_test(runner(test=classes))


def test_a_test_has_the_checkpoints_classes_in_their_order(messages):
    check_test(('a', 'b'), ('a', 'b'))
    check_test(None, ('a', 'b'))
    assert not messages()
    with pytest.raises(ValueError, match=r"write metainfo=dict\(classes=\('a', 'b'\)\)"):
        check_test(('a', 'b'), ('b', 'a'))
    check_test(('person',), ('pedestrian',))
    assert any('labels are compared by number; see that each stands for the same' in m for m in messages())


def deepen(cfg):
    """Make the first image one of 16 bits."""
    path = Path(cfg['data_root']) / 'images/0.png'
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 16)


def test_images_of_16_bits_are_refused_in_a_test(write_coco, some_images):
    cfg = write_coco(some_images)
    dataset = DATASETS.build(dict(cfg, pipeline=LOAD, test_mode=True))
    check = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    DataCheckHook().before_test(check)
    deepen(cfg)
    with pytest.raises(DeepImageError, match=r"0\.png: has 16 bits per channel.*type='mmsniper\.To8Bit'"):
        DataCheckHook().before_test(check)
    loaded = [dict(LOAD[0], color_type='unchanged'), dict(type='mmsniper.To8Bit', max_value=4095)]
    dataset = DATASETS.build(dict(cfg, pipeline=loaded, test_mode=True))
    DataCheckHook().before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset)))


def test_a_run_that_skips_bad_images_names_them_once(tiny_cfg, tmp_path):
    root = Path(tiny_cfg.train_dataloader.dataset.dataset.data_root)
    (root / 'images/1.png').write_bytes(b'')
    tiny_cfg.merge_from_dict(
        dict(train_dataloader=dict(dataset=dict(on_bad_image='skip')), train_cfg=dict(max_epochs=2, val_begin=9))
    )
    workers = dict(num_workers=2, persistent_workers=True)
    seen, _ = train(tiny_cfg, work_dir=str(tmp_path / 'skips'), train_dataloader=workers)
    log = '\n'.join(path.read_text() for path in (tmp_path / 'skips').glob('*/*.log'))
    assert log.count('1 of 4 images cannot be read') == 1
    assert 'images/1.png' in log
    assert 2 not in {image for _, image, *_ in seen}
    dataset = Runner.build_dataloader(tiny_cfg.train_dataloader, seed=0).dataset
    assert len(seen) == 2 * len(dataset), 'an epoch is as long as it was'
    assert train(tiny_cfg, work_dir=str(tmp_path / 'alone'))[0] == seen, 'whatever the number of workers'
