"""Benchmarks are run by hand and hours long; that each at least starts is seen here."""

from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[1] / 'benchmarks').glob('*.py'))


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_benchmark_imports_what_it_uses_and_says_what_it_measures(name):
    assert import_module(name).__doc__
