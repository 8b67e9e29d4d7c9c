import numba
import pytest

from mmsniper.chips import compiled as module


@pytest.fixture
def fresh():
    module.cache_folder.cache_clear()
    yield
    module.cache_folder.cache_clear()


def double(x):
    return 2 * x


def test_compiled_code_is_kept_beside_a_hash_of_the_sources(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path))
    assert module.is_cold()
    assert module.compiled(double)(4) == 8
    assert not module.is_cold()
    (folder,) = tmp_path.iterdir()
    assert str(folder) != numba.config.CACHE_DIR, 'other packages keep their place'
    source = tmp_path / 'other' / 'compiled.py'
    source.parent.mkdir()
    source.write_text('another source')
    monkeypatch.setattr(module, '__file__', str(source))
    module.cache_folder.cache_clear()
    assert folder not in (None, module.cache_folder())


def test_without_a_place_to_write_it_still_compiles(fresh, monkeypatch, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('not a folder')
    monkeypatch.setenv('NUMBA_CACHE_DIR', str(blocked))
    assert module.cache_folder() is None
    assert module.compiled(double)(4) == 8
    assert module.is_cold()
