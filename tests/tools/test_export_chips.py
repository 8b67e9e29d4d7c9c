"""The tool around the export; what it writes: tests/export."""

import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run(write_coco, some_images, planner_cfg, pipeline, tmp_path, monkeypatch):
    """Runs the tool on a config of some images, with changes of its ChipDataset."""
    monkeypatch.syspath_prepend(TOOLS)
    import export_chips

    pipeline.insert(3, dict(type='RandomFlip', prob=0.5))
    data = write_coco(some_images)

    def call(*options, **changes):
        dataset = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=pipeline, **changes)
        config = tmp_path / 'config.py'
        config.write_text(f'train_dataloader = dict(dataset={dataset!r})\nrandomness = dict(seed=3)\n')
        arguments = ['export_chips.py', config, '--out', tmp_path / 'out', *options]
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in arguments])
        export_chips.main()
        return json.loads((tmp_path / 'out/annotations.json').read_text())

    call.root = Path(data['data_root'])
    return call


def test_it_says_what_it_wrote_left_out_and_how_to_train_on_it(run, capsys, tmp_path):
    content = run('--epochs', '2', '--epoch', '1', '--workers', '2', '--quality', '80')
    said = capsys.readouterr().out
    images, annotations = content['images'], content['annotations']
    assert {image['epoch'] for image in images} == {1, 2}
    assert f'{len(images)} chips of 4 images' in said
    valid = sum(annotation['valid'] for annotation in annotations)
    assert f'{len(annotations)} objects in them: {valid} valid' in said
    assert 'left out of what training does: RandomFlip' in said
    assert f"data_root='{tmp_path}/out/'" in said and "metainfo=dict(classes=('thing', 'other'))" in said
    assert "dict(type='Resize', scale=(128, 128), keep_ratio=True)" in said
    assert content['info']['seed'] == 3 and content['info']['scales'] == [2.0, 1.0, [128.0, 128.0]]
    run('--epochs', '2', '--epoch', '1', '--quality', '80')
    assert f'{len(images)} chips were exported before' in capsys.readouterr().out


def test_mistakes_end_with_a_sentence(run):
    run()
    with pytest.raises(SystemExit, match=r'error: .*out holds an export with image_format .jpg.: remove it'):
        run('--format', 'png')
    (run.root / 'images/0.png').unlink()
    with pytest.raises(SystemExit, match=r'error: .*0\.png: cannot be read as an image: the file does not exist'):
        run('--out', run.root / 'other')
    with pytest.raises(SystemExit, match=r'file of negative chips, none\.npz, does not exist'):
        run(negatives=dict(ann_file='none.npz'))
