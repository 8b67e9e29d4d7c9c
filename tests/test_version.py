from importlib import metadata

import pytest

import mmsniper
from mmsniper.version import STACK, check_versions


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these distributions are installed."""

    def pretend(**versions):
        versions = {name.replace('_', '-'): version for name, version in versions.items()}

        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(metadata, 'version', version)

    return pretend


def test_version_is_a_version():
    assert mmsniper.__version__.count('.') == 2


@pytest.mark.parametrize(
    'versions',
    [
        {},
        dict(mmengine='0.10.7', mmcv='2.1.0', mmdet='3.3.0'),
        dict(onedl_mmengine='0.10.12', onedl_mmcv='2.3.6', onedl_mmdetection='3.5.1'),
        dict(mmengine='0.10.7rc1', mmcv='2.1.0+cu121', mmdet='3.3.0'),
    ],
)
def test_known_stacks_and_none_at_all_pass(installed, versions):
    installed(**versions)
    check_versions()


@pytest.mark.parametrize(
    ('versions', 'message'),
    [
        (
            dict(mmdet='2.28.2'),
            r'mmdet >= 3\.3\.0, < 3\.4\.0, but 2\.28\.2 is installed; run: pip install "mmdet>=3\.3\.0,<3\.4\.0"',
        ),
        (dict(onedl_mmcv='3.0.0'), r'onedl-mmcv >= .* but 3\.0\.0'),
        (dict(mmcv='2.2.0'), r'mmcv>=2\.0\.0,<2\.2\.0'),
        (dict(mmengine='1.0.0'), 'mmengine'),
    ],
)
def test_unknown_versions_are_refused_with_the_remedy(installed, versions, message):
    installed(**versions)
    with pytest.raises(RuntimeError, match=message):
        check_versions()


def test_bounds_are_those_mim_installs_by():
    from pathlib import Path

    text = (Path(__file__).parents[1] / 'requirements' / 'mminstall.txt').read_text()
    for name in ('mmengine', 'mmcv', 'mmdet'):
        first, unknown = STACK[name]
        assert f'{name}>={first},<{unknown}\n' in text
