"""Benchmarks are run by hand and hours long; that each at least starts is seen here."""

import json
from importlib import import_module
from pathlib import Path

import pages
import plot_regimes
import pytest
import regimes
from mmengine.config import Config

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[1] / 'benchmarks').glob('*.py'))


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_benchmark_imports_what_it_uses_and_says_what_it_measures(name):
    assert import_module(name).__doc__


def test_a_table_takes_the_place_of_the_one_between_its_marks(tmp_path, capsys):
    page = tmp_path / 'PAGE.md'
    page.write_text('Before.\n\n<!-- some -->\n| old |\n<!-- /some -->\n\nAfter.\n')
    for _ in range(2):
        pages.show('| new |', 'some', [page])
        assert page.read_text() == 'Before.\n\n<!-- some -->\n\n| new |\n\n<!-- /some -->\n\nAfter.\n'
    assert capsys.readouterr().out.count('| new |') == 2


def test_a_page_without_marks_is_named_and_left_alone(tmp_path):
    page = tmp_path / 'PAGE.md'
    page.write_text('<!-- some -->\n')
    with pytest.raises(SystemExit, match=r'PAGE\.md has no lines <!-- some --> and <!-- /some -->'):
        pages.show('| new |', 'some', [page])
    assert page.read_text() == '<!-- some -->\n'


def run(seconds, aps):
    """A run of regimes.py that was measured twice, at one scale."""
    marks = [
        dict(mark=n + 1, pixels=1e8 * (n + 1), seconds=seconds * (n + 1), one=dict(AP=ap, AP_small=ap / 2))
        for n, ap in enumerate(aps)
    ]
    return dict(rate=0.001, marks=marks)


def test_the_table_of_regimes_compares_at_the_time_of_the_fastest_and_marks_the_highest():
    table = plot_regimes.table(dict(single=[run(10, (0.1, 0.2)), run(10, (0.1, 0.3))], sniper=[run(20, (0.2, 0.4))]))
    head, _, single, sniper, _, below = table.splitlines()
    assert 'AP after 20 s' in head
    assert single.split(' | ')[1:4] == ['0.250 (0.200 to 0.300)'] * 2 + ['0.125 (0.100 to 0.150)']
    assert sniper.split(' | ')[1:] == ['**0.400**', '**0.400**', '**0.200**', '0.200', '0.100 |']
    assert below.startswith('Seeds: single scale: 2; SNIPER: 1. ')


def test_runs_of_several_machines_are_compared_by_times_of_one(tmp_path, monkeypatch):
    monkeypatch.setattr(plot_regimes, 'RESULTS', tmp_path)
    runs = dict(single=[run(10, (0.1, 0.2))], sniper=[run(500, (0.2, 0.4))])
    (tmp_path / 'shapes_pace.json').write_text(json.dumps(dict(single=100.0)))
    with pytest.raises(SystemExit, match=r"no times of \['sniper'\]: call regimes.py with --regimes single sniper"):
        plot_regimes.in_one_time('shapes', runs)
    (tmp_path / 'shapes_pace.json').write_text(json.dumps(dict(single=100.0, sniper=50.0)))
    found = plot_regimes.in_one_time('shapes', runs)
    assert [[mark['seconds'] for mark in found[way][0]['marks']] for way in runs] == [[10, 20], [5, 10]]


def test_a_training_of_another_config_is_not_taken_for_this_one(tmp_path, monkeypatch, capsys):
    started = []

    def train(command, log):
        started.append(json.loads((out / 'marks.json').read_text()) if (out / 'marks.json').exists() else [])
        (out / 'marks.json').write_text(json.dumps([*started[-1], dict(mark=2 * (len(started[-1]) + 1))]))

    monkeypatch.setattr(regimes, 'run', train)
    out = tmp_path / 'training'
    for lr, behind in ((0.1, 0), (0.1, 1), (0.1, None), (0.2, 0)):
        n = len(started)
        regimes.train(Config(dict(lr=lr)), out, 1e6)
        assert [len(marks) for marks in started[n:]] == ([] if behind is None else [behind])
    assert capsys.readouterr().out.count('begins anew') == 1
