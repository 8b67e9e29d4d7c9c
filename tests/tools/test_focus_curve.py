"""The curve of thresholds, and pictures of where AutoFocus looks, by the tools that a user calls."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import save_checkpoint

from mmsniper.evaluation.focus_curve import cheapest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def trained(tiny_cfg, tmp_path):
    """Paths of a config with a branch and of random weights of it, and of the plain detector's weights."""
    head = dict(type='mmsniper.WithFocus', detector='FasterRCNN', focus_head=dict(feat_channels=8))
    scales = dict(scales='planner', ranges='planner', score_thr=0.0, focus=dict(threshold=0.5, min_size=32))
    model = dict(test_cfg=dict(rcnn=dict(score_thr=0.0)))
    tiny_cfg.merge_from_dict(dict(model=model, tta_model=dict(tta_cfg=scales)))
    paths = []
    for name in ('plain', 'focused'):
        if name == 'focused':
            tiny_cfg.merge_from_dict(dict(model=head))
        torch.manual_seed(0)
        weights = MODELS.build(tiny_cfg.model).state_dict()
        paths.append(str(tmp_path / f'{name}.pth'))
        meta = dict(dataset_meta=dict(classes=('thing', 'other')))
        save_checkpoint(dict(state_dict=weights, meta=meta), paths[-1])
    tiny_cfg.dump(tmp_path / 'mine.py')
    return str(tmp_path / 'mine.py'), *reversed(paths)


def call(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
    monkeypatch.syspath_prepend(TOOLS)
    runpy.run_path(str(TOOLS / script), run_name='__main__')


def test_the_curve_is_measured_drawn_and_read(trained, tmp_path, monkeypatch, capsys):
    config, checkpoint, _ = trained
    out = tmp_path / 'out'
    call(monkeypatch, 'focus_curve.py', config, checkpoint, '--out', out, '--thresholds', 0.1, 0.5, 0.99, '--images', 3)
    rows = json.loads((out / 'focus_curve.json').read_text())
    assert [row['threshold'] for row in rows] == [None, 0.1, 0.5, 0.99]
    shares = [row['share'] for row in rows]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1 and shares[-1] < 1
    recalls = [row['recall'] for row in rows[1:]]
    assert recalls == sorted(recalls, reverse=True) and recalls[0] == 1 and recalls[-1] == 0, 'an untrained one says .5'
    assert all(row['seconds'] > 0 for row in rows)
    assert cv2.imread(str(out / 'focus_curve.png')).shape[0] > 300
    printed = capsys.readouterr().out
    assert '| full pyramid |' in printed
    assert 'tta_model=dict(tta_cfg=dict(focus=dict(threshold=' in printed


def test_weights_without_a_branch_are_refused_before_an_image_is_read(trained, tmp_path, monkeypatch):
    config, _, plain = trained
    monkeypatch.setattr('mmcv.imfrombytes', lambda *_, **__: pytest.fail('read an image'))
    with pytest.raises(SystemExit, match='needs a trained FocusHead, but the checkpoint has none'):
        call(monkeypatch, 'focus_curve.py', config, plain, '--out', tmp_path / 'out')
    with pytest.raises(SystemExit):
        call(monkeypatch, 'focus_curve.py', config, plain, '--thresholds', 1.0)


def test_where_it_looks_is_drawn(trained, tmp_path, monkeypatch, capsys):
    config, checkpoint, _ = trained
    image = next(Path(tmp_path).rglob('images/0.png'))
    for options in ([], ['--draw-focus']):
        call(
            monkeypatch,
            'infer.py',
            config,
            checkpoint,
            image,
            '--out',
            tmp_path / f'out{len(options)}',
            '--device',
            'cpu',
            *options,
        )
    plain, drawn = (cv2.imread(str(tmp_path / f'out{n}/0.png')) for n in (0, 1))
    assert plain.shape == drawn.shape
    assert (plain != drawn).mean() > 0.5
    with pytest.raises(SystemExit):
        call(monkeypatch, 'infer.py', config, checkpoint, image, '--out', tmp_path / 'no', '--draw-focus', '--no-tta')
    assert 'nothing to draw' in capsys.readouterr().err


def test_cheapest_keeps_to_the_loss():
    rows = [dict(AP=0.4, pixels=10), dict(AP=0.398, pixels=5), dict(AP=0.39, pixels=3)]
    assert cheapest(rows, 0.003) is rows[1]
    assert cheapest(rows, 0.02) is rows[2]
    assert cheapest(rows, 0.001) is rows[0]
