"""What is wrong with an annotation file is said before training, of any data set, for training and validation."""

import json
from pathlib import Path

import pytest
from checked import check, only, said
from mmdet.registry import DATASETS
from training import train

from mmsniper.datasets import ChipDataset

DROPPED = ['iscrowd', 'area', 'id', 'width', 'segmentation']


def spoil(cfg, change, loader='val'):
    """A copy of the data set's file, changed; named by the loader and the evaluator."""
    dataset = cfg.val_dataloader.dataset if loader == 'val' else cfg.train_dataloader.dataset.dataset
    path = Path(dataset.data_root) / dataset.ann_file
    content = json.loads(path.read_text())
    change(content)
    changed = path.with_name('changed.json')
    changed.write_text(json.dumps(content))
    dataset.ann_file = 'changed.json'
    if loader == 'val':
        cfg.val_evaluator.ann_file = str(changed)


def without(key):
    def change(content):
        for record in content['images' if key == 'width' else 'annotations']:
            del record[key]

    return change


@pytest.mark.parametrize('kind', ['CocoDataset', 'mmsniper.CheckedCocoDataset'])
@pytest.mark.parametrize('key', DROPPED)
def test_validation_without_a_key(tiny_cfg, key, kind):
    """As COCO's evaluation would find out after the first epochs."""
    tiny_cfg.val_evaluator.metric = ['bbox', 'segm']
    tiny_cfg.val_dataloader.dataset.type = kind
    spoil(tiny_cfg, without(key))
    errors = [finding for finding in check(tiny_cfg) if finding.level == 'error']
    assert errors, key
    assert all(finding.about.startswith('validation') for finding in errors)
    text = ' '.join(finding.what for finding in errors)
    assert key in text
    assert f'have no {key}' in text
    if key in ('area', 'segmentation') and kind != 'CocoDataset':  # which ends with a KeyError by itself
        with pytest.raises(ValueError, match=f'have no {key}'):
            train(tiny_cfg)


@pytest.mark.parametrize('key', ['id', 'width'])
def test_training_without_a_key(tiny_cfg, key):
    spoil(tiny_cfg, without(key), 'train')
    assert f'have no {key}' in only(check(tiny_cfg), 'training data', 'error').what


@pytest.mark.parametrize('key', ['iscrowd', 'area'])
def test_what_training_can_add_is_added_and_said(tiny_cfg, key):
    spoil(tiny_cfg, without(key), 'train')
    assert f'annotations without {key}: taken as' in only(check(tiny_cfg), 'training data', 'warning').what


def test_masks_without_segmentation(tiny_cfg, pipeline):
    tiny_cfg.train_dataloader.dataset.pipeline = pipeline
    spoil(tiny_cfg, without('segmentation'), 'train')
    finding = only(check(tiny_cfg), 'training data', 'error')
    assert 'have no segmentation, but the pipeline loads masks' in finding.what
    assert 'use a detector without a mask head' in finding.what


CLASSES = {
    'misspelt': (('thing', 'othr'), "'othr' (is it 'other'?)"),
    'no comma': ('thing', "(one name needs a comma: ('name',))"),
}


@pytest.mark.parametrize('name', CLASSES)
@pytest.mark.parametrize('loader', ['train', 'val'])
def test_class_names(tiny_cfg, name, loader):
    classes, expected = CLASSES[name]
    dataset = tiny_cfg.val_dataloader.dataset if loader == 'val' else tiny_cfg.train_dataloader.dataset.dataset
    dataset.metainfo.classes = classes
    if loader == 'val':
        dataset.type = 'CocoDataset'
    errors = [finding.what for finding in check(tiny_cfg) if finding.level == 'error']
    assert any(expected in what for what in errors)
    assert any("('thing', 'other')" in what for what in errors)
    with pytest.raises((ValueError, AssertionError), match='class') as raised:
        train(tiny_cfg)
    assert expected in str(raised.value)


def test_evaluation_on_another_file(tiny_cfg, write_coco):
    other = write_coco([(90, 90, [dict(bbox=[1, 1, 20, 20])])], name='other')
    tiny_cfg.val_evaluator.ann_file = other['data_root'] + 'annotations.json'
    finding = only(check(tiny_cfg), 'validation', 'error')
    assert 'lacks 3 of the 4 images of val_dataloader' in finding.what


def test_voc_names_that_are_not_classes(tmp_path, planner_cfg, pipeline, messages):
    """A misspelt one is refused, others are counted."""
    from formats import write

    settings = write('VOCDataset', ('car', 'person', 'cow'), tmp_path)
    pipeline[1]['with_mask'] = False

    def build(classes):
        voc = dict(settings, type='VOCDataset', metainfo=dict(classes=classes))
        return ChipDataset(voc, planner_cfg, pipeline)

    assert len(build(('car', 'person', 'cow')).table.bboxes) == 3
    assert not [line for line in messages() if 'left out' in line]
    build(('car', 'cow'))
    expected = "2 of 6 objects left out, their names are not in the data set's classes: 'person' (2)"
    assert any(expected in line for line in messages())
    with pytest.raises(ValueError, match=r"'Person', but 2 objects are 'person'.*classes=\('car', 'person', 'cow'\)"):
        build(('car', 'Person', 'cow'))
    with pytest.raises(ValueError, match=r"must be a tuple of names, but are 'person'.*one name needs a comma"):
        build('person')


def test_voc_in_validation(tiny_cfg, tmp_path):
    from formats import write

    settings = write('VOCDataset', ('thing', 'other', 'third'), tmp_path / 'voc')
    voc = dict(settings, type='VOCDataset', metainfo=dict(classes=('thing', 'Other')), test_mode=True)
    tiny_cfg.val_dataloader.dataset = dict(voc, pipeline=tiny_cfg.test_pipeline)
    tiny_cfg.val_evaluator = dict(type='VOCMetric')
    errors = said(check(tiny_cfg), 'validation data', 'error')
    assert any("'Other', but 2 objects are 'other'" in finding.what for finding in errors)


def test_a_built_data_set_travels_to_workers(tmp_path):
    import pickle

    from formats import write

    from mmsniper.datasets.annotations import build_checked, check_loaded

    settings = write('VOCDataset', ('car', 'person', 'cow'), tmp_path)
    classes = dict(classes=('car', 'person', 'cow'))
    dataset = build_checked(dict(settings, type='VOCDataset', metainfo=classes), False)
    dataset.full_init()
    check_loaded(dataset)
    assert len(pickle.loads(pickle.dumps(dataset))) == 3
    assert len(DATASETS.build(dict(settings, type='VOCDataset', metainfo=classes))) == 3


def test_a_plain_training_of_mmdet_is_refused_at_its_start(tiny_cfg):
    """mmdet numbers labels by the file, whatever the order of its classes."""
    data = dict(tiny_cfg.train_dataloader.dataset.dataset, metainfo=dict(classes=('other', 'thing')))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
    tiny_cfg.train_dataloader.dataset = dict(data, type='CocoDataset', pipeline=[*pipeline, dict(type='PackDetInputs')])
    tiny_cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    tiny_cfg.train_dataloader.batch_sampler = tiny_cfg.val_dataloader = None
    tiny_cfg.val_cfg = tiny_cfg.val_evaluator = None
    with pytest.raises(ValueError, match='in another order than') as raised:
        train(tiny_cfg)
    assert 'label by valid range, but the data are no chips' in ' '.join(str(raised.value).split())
