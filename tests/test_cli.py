"""The command, as a clone has it; tests/wheel_check.sh tries it from a wheel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmsniper import cli

ROOT = Path(__file__).parents[1]
ENV = {**os.environ, 'PYTHONPATH': str(ROOT)}
TOOL = '''"""Say what it was given.

    python tools/say.py CONFIG
"""
import argparse, beside
if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    parser.add_argument('--code', type=int, default=0)
    args = parser.parse_args()
    print(__file__, args.config, beside.VALUE)
    raise SystemExit(args.code)
'''


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What Python keeps of a script is put back."""
    for name in ('argv', 'path'):
        monkeypatch.setattr(sys, name, list(getattr(sys, name)))
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])


@pytest.fixture
def say(monkeypatch, tmp_path):
    """A folder of tools with one tool, and a helper beside it."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    (folder / 'say.py').write_text(TOOL)
    (folder / 'beside.py').write_text('VALUE = 7\n')
    monkeypatch.setattr(cli, 'home', lambda: tmp_path)
    return folder / 'say.py'


def test_alone_it_lists_the_tools_at_once(tmp_path):
    """Without torch, whose import alone takes longer than all of it."""
    code = (
        "import sys; from mmsniper.cli import main; main([]); print({'torch', 'mmengine', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=ENV, cwd=tmp_path)
    *listed, imported = done.stdout.splitlines()
    assert imported == 'set()', done.stderr
    lines = dict(line.split(maxsplit=1) for line in listed if line.startswith('  '))
    scripts = [path for path in (ROOT / 'tools').glob('*.py') if "__name__ == '__main__'" in path.read_text()]
    assert {cli.NAMES.get(name, name) for name in lines} == {path.stem for path in scripts}
    assert lines['browse'].startswith('Draw what a config trains on')
    assert all(re.match('[A-Z].{20,120}$', text) for text in lines.values())
    assert not {'chip_config', 'proposals', 'run_mmdet'} & set(lines), 'helpers of the scripts'


def test_every_tool_that_takes_a_config_says_so():
    """As the names of our configs are understood by what a script's docstring says."""
    tools = cli.find_tools()
    takes = {name for name, path in tools.items() if f'{path.name} CONFIG' in cli.docstring(path)}
    assert takes == set(tools) - {'suggest', 'demo', 'shapes'}


@pytest.mark.parametrize(
    ('wrong', 'near'), [('brows', 'browse'), ('tarin', 'train'), ('make_shape', 'make_shapes_dataset')]
)
def test_an_unknown_name_suggests_the_nearest(wrong, near, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([wrong])
    assert stopped.value.code == 2
    assert f'there is no tool {wrong}; did you mean {near}?' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['say', 'say.py', 'tools/say.py'])
def test_a_tool_runs_as_a_script_does(say, name, capsys, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text('')
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, str(config), '--code', '3'])
    assert stopped.value.code == 3, 'exit codes pass through'
    assert capsys.readouterr().out == f'{say} {config} 7\n'


def test_usage_names_the_command(say, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(['say', '--code', 'x'])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith('usage: mmsniper say [-h]')


def test_a_config_of_ours_goes_by_its_name(say, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        cli.main(['say', 'sniper_tiny_shapes'])
    assert f' {ROOT}/configs/demo/sniper_tiny_shapes.py ' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='error: tiny_shapes: no such file, and .* did you mean sniper_tiny_shapes'):
        cli.main(['say', 'tiny_shapes'])


@pytest.mark.smoke
def test_mmdets_scripts_are_named_as_ours(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(['train', '--help'])
    assert stopped.value.code == 0
    assert 'usage: mmsniper train [-h]' in capsys.readouterr().out  # the fork prints a line before
