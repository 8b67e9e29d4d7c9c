"""Images are found, validation is never silent."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmsniper.suggest import data_files


def ids(path):
    return {image['id'] for image in json.loads(Path(path).read_text())['images']}


def test_a_split_is_whole_disjoint_and_always_the_same(make, tmp_path):
    data, out = make('one size'), tmp_path / 'out' / 'mine.py'
    out.parent.mkdir()
    files = data_files(data, out, None, None, None)
    assert (files.train.name, files.val.name, files.n_train) == ('mine_train.json', 'mine_val.json', 34)
    assert len(ids(files.train)) == 34
    assert ids(files.train) | ids(files.val) == set(range(40))
    annotations = [json.loads(path.read_text())['annotations'] for path in (files.train, files.val)]
    assert len(annotations[0]) + len(annotations[1]) == 160
    assert {a['image_id'] for a in annotations[1]} <= ids(files.val)
    assert data_files(data, out, None, None, None) == files
    assert 'Without --val, 6 of the 40 images' in files.notes[-1]


def test_annotations_of_yours_are_not_overwritten(make, tmp_path):
    (tmp_path / 'mine_val.json').write_text('{}')
    with pytest.raises(ValueError, match='mine_val.json is there already, and is not a part of a split'):
        data_files(make('one size'), tmp_path / 'mine.py', None, None, None)
    assert (tmp_path / 'mine_val.json').read_text() == '{}'


def test_a_part_of_a_split_is_not_split_into_itself(make, tmp_path):
    data = make('one size')
    part = data_files(data, tmp_path / 'mine.py', None, None, None).train
    with pytest.raises(ValueError, match='mine_train.json is there already'):
        data_files(replace(data, path=str(part)), tmp_path / 'mine.py', str(tmp_path / 'images'), None, None)


def test_a_few_images_are_validated_on_themselves_and_that_is_said(make, tmp_path):
    files = data_files(make('5 to 20 px in 12,000 px'), tmp_path / 'mine.py', None, None, None)
    assert files.n_train == 2
    assert 'Validation is on the 2 training images themselves' in files.notes[-1]


def test_images_are_looked_for(make, tmp_path):
    data = make('one size')
    files = data_files(data, tmp_path / 'mine.py', None, None, None)
    assert files.images == tmp_path / 'images'
    assert files.notes[0] == f'The images are taken from {tmp_path / "images"}, where their names are found.'
    with pytest.raises(FileNotFoundError, match='--images is the folder that file_name in'):
        data_files(data, tmp_path / 'mine.py', str(tmp_path), None, None)
    for path in (tmp_path / 'images').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r'neither beside it nor in images, .*say --images FOLDER'):
        data_files(data, tmp_path / 'mine.py', None, None, None)


def test_other_classes_in_the_validation_file_are_refused(make, write, tmp_path):
    data = make('one size')
    content = json.loads(Path(data.path).read_text())
    content['categories'][0]['name'] = 'thng'
    val = tmp_path / 'val.json'
    val.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"'thing' \(is it 'thng'\?\)"):
        data_files(data, tmp_path / 'mine.py', None, str(val), None)
