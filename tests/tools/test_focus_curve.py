"""The curve of thresholds, and pictures of where AutoFocus looks, by the tools that a user calls."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.runner import save_checkpoint
from mmengine.structures import InstanceData

from mmsniper.evaluation.focus_curve import cheapest, focus_curve, focus_runner, with_threshold
from mmsniper.models.views import View
from mmsniper.visualization.focus import COLOURS, draw_focus

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
    assert 'tta_model = dict(tta_cfg=dict(focus=dict(' in printed


def test_weights_without_a_branch_are_refused_before_an_image_is_read(trained, tmp_path, monkeypatch):
    config, _, plain = trained
    monkeypatch.setattr('mmcv.imfrombytes', lambda *_, **__: pytest.fail('read an image'))
    with pytest.raises(SystemExit, match='needs a trained FocusHead, but the checkpoint has none'):
        call(monkeypatch, 'focus_curve.py', config, plain, '--out', tmp_path / 'out')
    with pytest.raises(SystemExit):
        call(monkeypatch, 'focus_curve.py', config, plain, '--thresholds', 1.0)
    packed = ['--cfg-options', 'tta_pipeline.1.type=LoadImageFromFile']
    with pytest.raises(SystemExit, match='tta_pipeline loads no annotations'):
        call(monkeypatch, 'focus_curve.py', config, plain, '--out', tmp_path / 'out', *packed)


def test_where_it_looks_is_drawn(trained, tmp_path, monkeypatch, capsys):
    config, checkpoint, _ = trained
    image = next(Path(tmp_path).rglob('images/0.png'))
    low = ['--cfg-options', 'tta_model.tta_cfg.focus.threshold=0.3']
    for name, options in dict(plain=low, drawn=['--draw-focus', *low]).items():
        call(monkeypatch, 'infer.py', config, checkpoint, image, '--out', tmp_path / name, '--device', 'cpu', *options)
    plain, drawn = (cv2.imread(str(tmp_path / f'{name}/0.png')) for name in ('plain', 'drawn'))
    assert plain.shape == drawn.shape
    assert any((drawn == colour[::-1]).all(2).any() for colour in COLOURS[:2]), 'frames, of which the last is on top'
    assert not any((plain == colour[::-1]).all(2).any() for colour in COLOURS[:2])
    with pytest.raises(SystemExit):
        call(monkeypatch, 'infer.py', config, checkpoint, image, '--out', tmp_path / 'no', '--draw-focus', '--no-tta')
    assert 'nothing to draw' in capsys.readouterr().err


def test_cheapest_keeps_to_the_loss():
    rows = [dict(AP=0.4, pixels=10), dict(AP=0.398, pixels=5), dict(AP=0.39, pixels=3)]
    assert cheapest(rows, 0.003) is rows[1]
    assert cheapest(rows, 0.02) is rows[2]
    assert cheapest(rows, 0.001) is rows[0]


def test_heat_lies_where_the_cells_do():
    image, focus = np.zeros((100, 90, 3), np.uint8), torch.zeros(4, 3)
    focus[1, 2] = 1
    for flip, columns in ((False, (64, 90)), (True, (0, 26))):
        view = View(0, 1, (0, 0, 45, 50), (50, 45), flip=flip)  # at half of the size drawn; cells of 16 px
        sample = DetDataSample(metainfo=dict(ori_shape=(50, 45), focus_maps=[(view, focus)]))
        rows, found = np.nonzero(draw_focus(image, sample, 16).sum(2))
        assert (rows.min(), rows.max() + 1) == (32, 64)
        assert (found.min(), found.max() + 1) == columns


def test_a_threshold_goes_into_all_settings():
    assert with_threshold(dict(dilate=5), 0.2) == dict(dilate=5, threshold=0.2)
    assert with_threshold([dict(dilate=1), dict(threshold=0.5)], 0.2) == [
        dict(dilate=1, threshold=0.2),
        dict(threshold=0.2),
    ]


def test_figures_are_of_the_images_that_were_shown(tiny_cfg, trained, monkeypatch):
    """A detector that finds everything has an AP of 1 on the first two of four images."""
    cfg = tiny_cfg.copy()
    cfg.test_dataloader.dataset.indices = 2
    cfg.test_evaluator.proposal_nums = (100, 300, 1000)
    runner = focus_runner(cfg, trained[1])

    def knows(data):
        for sample in data['data_samples']:
            truth = sample.gt_instances
            sample.pred_instances = InstanceData(
                bboxes=truth.bboxes, labels=truth.labels, scores=torch.ones(len(truth))
            )
            sample.set_metainfo(dict(view_pixels=1))
        return data['data_samples']

    monkeypatch.setattr(runner.model, 'test_step', knows)
    assert [row['AP'] for row in focus_curve(runner, [0.5])] == [1, 1]
