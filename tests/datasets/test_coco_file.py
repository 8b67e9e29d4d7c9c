"""What the check of a COCO file says: which file, which records, what to do."""

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from pycocotools import mask as coco_mask

from mmsniper.datasets import ChipDataset
from mmsniper.datasets.annotations import CheckedCocoDataset
from mmsniper.datasets.coco_records import _decoded_runs

IMAGES = [
    (200, 150, [dict(bbox=[5, 5, 20, 20]), dict(bbox=[50, 50, 30, 30], category_id=4)]),
    (200, 150, [dict(bbox=[9, 9, 40, 40])]),
]
NAN = float('nan')


@pytest.fixture
def data(write_coco):
    return write_coco(IMAGES)


@pytest.fixture
def spoilt(data):
    """Changes the file of `data` by a function of its content; the data set's config."""

    def spoil(change):
        path = Path(data['data_root']) / data['ann_file']
        content = json.loads(path.read_text())
        changed = change(content)
        path.write_text(json.dumps(content if changed is None else changed))
        return data

    return spoil


def put(kind, n, **changes):
    """A function that changes record n of a list, or deletes keys set to `...`."""

    def change(content):
        for key, value in changes.items():
            if value is ...:
                del content[kind][n][key]
            else:
                content[kind][n][key] = value

    return change


FAULTS = {
    'root is a list': (lambda c: [c], ['holds a list, not COCO annotations', 'write an object with "images"']),
    'results of a detector': (lambda c: c['annotations'], ['holds results of a detector']),
    'no annotations key': (lambda c: c.pop('annotations') and None, ['has no list of annotations', 'add "annot']),
    'no images': (lambda c: c['images'].clear(), ['has no images: the list is empty']),
    'no categories': (lambda c: c['categories'].clear(), ['has no categories: the list is empty']),
    'no width': (put('images', 1, width=...), ['1 images have no width (id 2 1.png)', 'add it']),
    'width as text': (put('images', 1, width='200'), ['no whole number of pixels (id 2 1.png)', 'without quotes']),
    'huge image': (put('images', 0, height=100001), ['have a side beyond 100000 pixels (id 1 0.png)']),
    'image id twice': (put('images', 1, id=1), ['1 images have the id of another one (id 1)']),
    'image id as text': (put('images', 1, id='2'), ["1 images have text as id, others a number (id '2')"]),
    'category id twice': (put('categories', 1, id=3), ['1 categories have the id of another one (id 3)']),
    'category name twice': (
        put('categories', 1, name='thing'),
        ["1 categories have the name of another one (name 'thing')"],
    ),
    'annotation id twice': (
        put('annotations', 2, id=1),
        ['1 annotations have the id of another one (id 1 of image 1.png)', 'number annotations through'],
    ),
    'no bbox': (put('annotations', 1, bbox=...), ['1 annotations have no bbox (id 2 of image 0.png)']),
    'no id': (put('annotations', 1, id=...), ['1 annotations have no id (number 1 in the list of image 0.png)']),
    'three numbers': (put('annotations', 1, bbox=[1, 2, 3]), ['a bbox that is not four numbers (id 2 of image 0.png)']),
    'box in millions': (put('annotations', 1, bbox=[1, 2, 3, 4e6]), ['have a box with a number beyond 1000000']),
    'unknown category': (put('annotations', 1, category_id=9), ["none of the file's categories (id 2 of image 0.png)"]),
    'category as text': (put('annotations', 1, category_id='4'), ['have text as category_id', 'write both alike']),
    'crowd as text': (put('annotations', 1, iscrowd='0'), ['neither 0 nor 1 (id 2 of image 0.png)', 'without quotes']),
    'ignored as text': (put('annotations', 1, ignore='false'), ['have an ignore that is neither 0 nor 1']),
    'area as text': (put('annotations', 1, area='9'), ['have an area that is no number (id 2 of image 0.png)']),
    'nan in a polygon': (
        put('annotations', 1, segmentation=[[1, 1, 9, 1, NAN, 9]]),
        ['a polygon with a number that is not finite, or too large (id 2 of image 0.png)', 'correct or remove it'],
    ),
    'infinity in a polygon': (put('annotations', 1, segmentation=[[1, 1, 9, 1, float('inf'), 9]]), ['not finite']),
    'a flat polygon': (
        put('annotations', 1, segmentation=[1, 1, 9, 1, 9, 9]),
        ['have one flat list of numbers as segmentation (id 2 of image 0.png)', 'put it into a list'],
    ),
    'no segmentation': (put('annotations', 1, segmentation=...), ['no segmentation, but the pipeline loads masks']),
    'RLE of another size': (
        put('annotations', 1, segmentation=dict(size=[9, 9], counts=[81])),
        ['an RLE of another size than their image (id 2 of image 0.png)', '[height, width]'],
    ),
    'RLE that ends early': (
        put('annotations', 1, segmentation=dict(size=[150, 200], counts='04')),
        ['counts do not add up to the pixels of their image', 'encode the mask again'],
    ),
}


@pytest.mark.parametrize('name', FAULTS)
def test_what_is_wrong_is_named_with_the_remedy(spoilt, planner_cfg, pipeline, name):
    change, parts = FAULTS[name]
    cfg = spoilt(change)
    with pytest.raises(ValueError, match=r'annotations\.json') as raised:
        ChipDataset(cfg, planner_cfg, pipeline)
    for part in parts:
        assert part in str(raised.value)


def test_one_broken_record_does_not_hide_the_others(spoilt, planner_cfg, pipeline):
    def change(content):
        content['annotations'][0]['bbox'] = [NAN, 1, 2, 3]
        content['annotations'][1]['iscrowd'] = 'no'
        content['annotations'][2]['category_id'] = 99

    cfg = spoilt(change)
    with pytest.raises(ValueError, match='cannot be used') as raised:
        ChipDataset(cfg, planner_cfg, pipeline)
    assert [line[:15] for line in str(raised.value).split('\n')[1:]] == ['- 1 annotations'] * 3


CLASSES = {
    'another order': (('other', 'thing'), ['in another order', "Write metainfo=dict(classes=('thing', 'other'))"]),
    'none': ((), ["metainfo's classes are empty", "has classes=('thing', 'other')"]),
    'misspelt': (('thing', 'Other'), ["lacks 1 of the 2 classes in metainfo: 'Other' (is it 'other'?)"]),
    'one that the file lacks': (('thing', 'eel', 'other'), ["'eel'", "Its categories are ('thing', 'other')"]),
    'twice': (('thing', 'thing', 'other'), ['list thing more than once']),
    'no comma': ('thing', ['must be a tuple of names', "('name',)"]),
}


@pytest.mark.parametrize('name', CLASSES)
@pytest.mark.parametrize('evaluated', [False, True], ids=['training', 'validation'])
def test_classes_are_the_files_in_its_order(data, planner_cfg, pipeline, name, evaluated):
    classes, parts = CLASSES[name]
    cfg = dict(data, metainfo=dict(classes=classes))
    if evaluated:
        cfg.update(type='mmsniper.CheckedCocoDataset', test_mode=True)
    else:
        cfg = dict(type='mmsniper.ChipDataset', dataset=cfg, planner=planner_cfg, pipeline=pipeline)
    with pytest.raises(ValueError, match='class') as raised:
        DATASETS.build(cfg)
    for part in parts:
        assert part in str(raised.value)


def test_some_of_the_files_classes_may_be_taught(write_coco, planner_cfg, pipeline, messages):
    cfg = write_coco(IMAGES, classes=('thing', 'other', 'third'))
    dataset = ChipDataset(dict(cfg, metainfo=dict(classes=('other', 'third'))), planner_cfg, pipeline)
    assert [i['bbox_label'] for n in range(2) for i in dataset.dataset.get_data_info(n)['instances']] == [0]
    assert any(
        "2 annotations left out, their category is not in the data set's classes (ids 1, 3)" in m for m in messages()
    )


def repeat(dataset):
    return dict(type='RepeatDataset', dataset=dataset, times=2)


def join(dataset):
    return dict(type='ConcatDataset', datasets=[dataset, dataset])


def balance(dataset):
    return dict(type='ClassBalancedDataset', dataset=dataset, oversample_thr=0.1)


@pytest.mark.parametrize(
    ('wrap', 'times'),
    [
        (repeat, 2),
        (join, 2),
        (balance, 1),
        (lambda c: join(repeat(c)), 4),
        (lambda c: repeat(join(c)), 4),
        (lambda c: join(join(c)), 4),
        (lambda c: join(balance(c)), 2),
    ],
)
def test_data_sets_in_wrappers_are_checked_too(spoilt, planner_cfg, pipeline, wrap, times):
    cfg = spoilt(put('annotations', 1, iscrowd=0))
    assert len(ChipDataset(wrap(cfg), planner_cfg, pipeline).table) == 2 * times
    cfg = spoilt(put('annotations', 1, iscrowd='0'))
    with pytest.raises(ValueError, match='neither 0 nor 1'):
        ChipDataset(wrap(cfg), planner_cfg, pipeline)


def test_a_data_set_that_someone_built_is_checked_too(spoilt, planner_cfg, pipeline):
    built = DATASETS.build(spoilt(put('annotations', 1, iscrowd='0')))
    with pytest.raises(ValueError, match='neither 0 nor 1'):
        ChipDataset(built, planner_cfg, pipeline)


def test_what_the_box_tells_is_added_for_training_and_said(spoilt, planner_cfg, pipeline, messages):
    def change(content):
        for annotation in content['annotations']:
            del annotation['area'], annotation['iscrowd']

    cfg = spoilt(change)
    assert len(ChipDataset(cfg, planner_cfg, pipeline).table.bboxes) == 3
    for part in ('3 annotations without area: taken as that of the box', '3 annotations without iscrowd: taken as no'):
        assert sum(part in message for message in messages()) == 1
    with pytest.raises(ValueError, match=r"have no area, which COCO's evaluation needs .*: write .area.: 400"):
        CheckedCocoDataset(**{key: value for key, value in cfg.items() if key != 'type'}, test_mode=True)
    mined = DATASETS.build(dict(cfg, type='mmsniper.CheckedCocoDataset', test_mode=True, evaluated=False))
    assert len(mined) == 2


def test_polygons_that_mmdet_drops_are_counted(spoilt, planner_cfg, pipeline, messages):
    def change(content):
        content['annotations'][0]['segmentation'] = [[1, 1, 9, 9]]
        content['annotations'][1]['segmentation'].append([1, 1, 9, 9])

    ChipDataset(spoilt(change), planner_cfg, pipeline)
    for part in ('become ignored regions (ids 1)', 'lose them, and keep others (ids 2)'):
        assert any('1 annotations with polygons of less than three points ' + part in m for m in messages())


def test_rle_that_mmdet_would_ignore_is_refused(spoilt, planner_cfg, pipeline):
    rle = dict(size=[150, 200], counts=[30000])
    cfg = spoilt(put('annotations', 1, segmentation=rle))
    assert len(ChipDataset(cfg, planner_cfg, pipeline).table.bboxes) == 3
    pipeline[1] = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
    with pytest.raises(ValueError, match=r"1 annotations are RLE.*\(id 2 of.*\): write dict\(type='mmsniper.LoadChip"):
        ChipDataset(cfg, planner_cfg, pipeline)
    cfg = spoilt(put('annotations', 1, segmentation=rle, iscrowd=1))
    assert len(ChipDataset(cfg, planner_cfg, pipeline).table.bboxes) == 2


def test_images_listed_twice_are_counted(spoilt, planner_cfg, pipeline, messages):
    ChipDataset(spoilt(put('images', 1, file_name='0.png')), planner_cfg, pipeline)
    assert any('1 images are listed again with another id' in message for message in messages())


@pytest.mark.parametrize('segmentation', [[], {}, '', None, [1, 2, 3, 4, 5, 6], dict(size=[9, 9], counts=[81])])
def test_segmentations_do_not_matter_where_masks_do_not(spoilt, planner_cfg, pipeline, segmentation):
    cfg = spoilt(put('annotations', 1, segmentation=segmentation))
    pipeline[1] = dict(type='LoadAnnotations', with_bbox=True)
    assert len(ChipDataset(cfg, planner_cfg, pipeline).table.bboxes) == 3


def test_null_is_as_missing(spoilt, planner_cfg, pipeline, messages):
    cfg = spoilt(put('annotations', 1, iscrowd=None, area=None, ignore=None))
    assert len(ChipDataset(cfg, planner_cfg, pipeline).table.bboxes) == 3
    assert any('1 annotations without iscrowd: taken as no crowd (ids 2)' in message for message in messages())


def test_a_data_set_that_numbers_labels_in_its_own_way_is_looked_at_afterwards(data, planner_cfg, pipeline, messages):
    class Backwards(CocoDataset):
        def load_data_list(self):
            loaded = super().load_data_list()
            self.cat2label = {id: 1 - label for id, label in self.cat2label.items()}
            return loaded

    ChipDataset(dict(data, type=Backwards), planner_cfg, pipeline)
    assert any("Backwards teaches 'thing' as 'other', 'other' as 'thing'" in message for message in messages())


def test_a_prefix_that_names_no_images(data, planner_cfg, pipeline):
    del data['data_prefix']
    with pytest.raises(ValueError, match=r"write data_prefix=dict\(img='images/'\)"):
        ChipDataset(data, planner_cfg, pipeline)


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        (b'', 'it is empty'),
        (b'{"images": [', 'no JSON file'),
        (b'\xff\xfe\x00', 'no JSON file'),
        (b'[' * 10**5, 'no JSON'),
    ],
)
def test_what_is_no_json(data, planner_cfg, pipeline, text, part):
    (Path(data['data_root']) / data['ann_file']).write_bytes(text)
    with pytest.raises(ValueError, match=part):
        ChipDataset(data, planner_cfg, pipeline)


def test_the_file_is_read_once(data, planner_cfg, pipeline, monkeypatch):
    opened = []
    really = builtins.open

    def count(file, *args, **kwargs):
        opened.append(str(file))
        return really(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', count)
    ChipDataset(data, planner_cfg, pipeline)
    assert sum('annotations.json' in name for name in opened) == 1


def test_compressed_rle_is_understood():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 0.98, 1.0):
        for shape in ((1, 1), (7, 90), (70, 60)):
            mask = (rng.random(shape) < density).astype(np.uint8)
            flat = mask.T.reshape(-1)
            changes = np.flatnonzero(np.diff(np.append(0, flat)))
            runs = np.diff([0, *changes, len(flat)]).tolist()
            text = coco_mask.encode(np.asfortranarray(mask))['counts'].decode()
            assert _decoded_runs(text).tolist() == runs
    assert all(_decoded_runs(text) is None for text in ('', 'o', '~~', ' ', 'é', 'o' * 9 + '1'))
