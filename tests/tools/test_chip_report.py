import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def run(write_coco, some_images, planner_cfg, pipeline, tmp_path, monkeypatch):
    """Runs the tool in an empty folder, with changes of the ChipDataset."""
    monkeypatch.syspath_prepend(TOOLS)
    import chip_report

    monkeypatch.chdir(tmp_path)
    data = write_coco(some_images)

    def call(*options, **changes):
        dataset = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=pipeline, **changes)
        model = dict(data_preprocessor=dict(pad_size_divisor=256))
        Path('a_config.py').write_text(f'train_dataloader = dict(dataset={dataset!r})\nmodel = {model}\n')
        monkeypatch.setattr(sys, 'argv', ['chip_report.py', 'a_config.py', *map(str, options)])
        chip_report.main()

    return call


def test_page_and_numbers_are_where_they_were_asked_for(run, capsys):
    run('--json', 'more/numbers.json', '--chips', '3')
    text = Path('work_dirs/chips/a_config/report.html').read_text()
    numbers = json.loads(Path('more/numbers.json').read_text())
    assert text.count('data:image/jpeg') == 3 + 3
    assert f'{numbers["chips"]["total"]} chips in epoch 0, seed 0' in text
    assert numbers['pixels'][0]['pixels_per_image'] == numbers['chips']['per_image'] * 256**2
    assert f'report.html: 0.1 MB, 3 of {numbers["chips"]["total"]} chips' in capsys.readouterr().out


@pytest.mark.parametrize(('out', 'expected'), [('folder', 'folder/report.html'), ('x/page.html', 'x/page.html')])
def test_out_is_a_folder_or_a_file(run, out, expected):
    run('--out', out, '--chips', '0')
    assert 'None are drawn' in Path(expected).read_text()


def test_what_is_found_is_printed(run, capsys):
    run('--chips', '0', empty_chips=50)
    assert 'note: ' in (said := capsys.readouterr().out)
    assert 'of the chips have no valid object. 1 of 4 images have no objects' in said
    assert 'train_dataloader = dict(dataset=dict(empty_chips=0))' in said


def test_mixed_chips_are_said_to_be_mixed(run, monkeypatch, capsys):
    run('--chips', '0')
    assert 'mixes chips' not in Path('work_dirs/chips/a_config/report.html').read_text()
    config = Path('a_config.py')
    copy_paste = dict(type='mmsniper.MixChips', transform=dict(type='CopyPaste'))
    mix = f"""
chips = train_dataloader['dataset']
pack = chips['pipeline'].pop()
pipeline = [{copy_paste}, pack]
train_dataloader = dict(dataset=dict(type='MultiImageMixDataset', dataset=chips, pipeline=pipeline))
"""
    Path('mixed.py').write_text(config.read_text() + mix)
    monkeypatch.setattr(sys, 'argv', ['chip_report.py', 'mixed.py', '--chips', '2'])
    import chip_report

    chip_report.main()
    assert 'mixes chips' in Path('work_dirs/chips/mixed/report.html').read_text()
    assert '2 of ' in capsys.readouterr().out


def test_without_images_there_are_numbers_still(run, tmp_path):
    for path in (tmp_path / 'set/images').iterdir():
        path.unlink()
    run('--chips', '0')
    with pytest.raises(SystemExit, match=r'error: .*images/.*png.*; --chips 0 writes the report without images'):
        run()
