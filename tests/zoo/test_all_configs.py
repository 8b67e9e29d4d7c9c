"""Every config trains a step on chips and detects on views, at toy size."""

import importlib.util
import logging
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from mmengine.config import Config
from shrink import shrink, train_and_detect

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
SMOKE = {'sniper_faster-rcnn_r50_fpn_coco', 'sniper_cascade-mask-rcnn_r50_fpn_coco', 'sniper_fcos_r50_fpn_coco'}


@pytest.fixture
def config(request, tmp_path, _torchvision):
    """A config that has survived a dump, shrunk."""
    for name, package in dict(convnext='mmpretrain', lvis='lvis').items():
        if name in request.param and importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed')
    cfg = Config.fromfile(next(CONFIGS.rglob(f'{request.param}.py')))
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()
    shrink(cfg, tmp_path)
    return cfg


@pytest.fixture
def _torchvision(monkeypatch):
    """mmpretrain imports it, for other models than ours; there is no build of it for every torch."""
    if importlib.util.find_spec('torchvision') is None:
        for name in ('', '.ops', '.ops.boxes', '.transforms', '.transforms.functional'):
            monkeypatch.setitem(sys.modules, 'torchvision' + name, MagicMock(__version__='0'))


def params():
    return [pytest.param(name, id=name, marks=[pytest.mark.smoke] if name in SMOKE else []) for name in NAMES]


@pytest.mark.parametrize('config', params(), indirect=True)
def test_it_trains_and_detects(config, caplog):
    train_and_detect(config, caplog.handler)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [message for message in warned if re.search('unexpected|not match|missing', message)]
