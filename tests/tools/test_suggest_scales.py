"""The tool from the command line, in this process."""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

TOOLS = Path(__file__).parents[2] / 'tools'
DEMO = Path(__file__).parents[2] / 'configs/demo/sniper_tiny_shapes.py'
IMAGES = [(320, 240, [dict(bbox=[20, 20, 20 + i, 24])]) for i in range(12)]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the tool with some arguments, --base and --out."""
    monkeypatch.syspath_prepend(TOOLS)
    import suggest_scales

    def call(*arguments):
        words = ['suggest_scales.py', *arguments, '--base', DEMO, '--out', tmp_path / 'out/mine.py']
        monkeypatch.setattr(sys, 'argv', list(map(str, words)))
        suggest_scales.main()

    return call


@pytest.fixture
def annotations(write_coco):
    """A COCO file with images beside it."""
    return Path(write_coco(IMAGES)['data_root']) / 'annotations.json'


def test_everything_is_written_and_said(run, annotations, tmp_path, capsys):
    run(annotations, '--val', annotations, '--epochs', 6, '--json', tmp_path / 'all.json')
    out = tmp_path / 'out'
    assert sorted(path.name for path in out.iterdir()) == ['mine.png', 'mine.py']
    cfg = Config.fromfile(out / 'mine.py')
    assert cfg.train_cfg.max_epochs == 6
    found = json.loads((tmp_path / 'all.json').read_text())
    assert found['fingerprint']['images'] == 12
    assert found['plan']['scales'][0] == cfg.train_dataloader.dataset.planner.scales[0]
    assert found['schedule']['epochs'] == 6
    said = capsys.readouterr().out
    assert 'objects       12 of 2 classes: thing 12, other 0' in said
    assert f'mmsniper train {out / "mine.py"}' in said
    assert 'work_dirs/mine/epoch_6.pth --tta' in said


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['nowhere.json'], 'error: nowhere.json is no file'),
        (['{file}', '--images', 'nowhere'], 'error: nowhere/0.png does not exist'),
        (['{file}', '--val', 'nowhere.json'], 'nowhere.json'),
    ],
)
def test_errors_name_the_file_and_the_remedy(run, annotations, options, message):
    with pytest.raises(SystemExit, match=message):
        run(*(option.format(file=annotations) for option in options))


@pytest.mark.parametrize('options', [['--budget', '0'], ['--gpu-memory', '-1'], ['--epochs', '0']])
def test_numbers_that_will_not_do(run, annotations, options, capsys):
    with pytest.raises(SystemExit):
        run(annotations, *options)
    assert 'will not do: give' in capsys.readouterr().err


def test_a_config_of_yours_is_not_overwritten(run, annotations, tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/mine.py').write_text('lr = 1\n')
    with pytest.raises(SystemExit):
        run(annotations)
    assert 'is there already, and not by this tool' in capsys.readouterr().err
    assert (tmp_path / 'out/mine.py').read_text() == 'lr = 1\n'
