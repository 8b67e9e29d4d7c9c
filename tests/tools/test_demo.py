import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


# Slow, so not in make test: the wheel's check runs the same demo, from the wheel.
@pytest.mark.slow
@pytest.mark.smoke
def test_the_demo_runs_from_data_to_results(tmp_path):
    shrunk = [
        'train_cfg.max_epochs=1',
        'model.backbone.base_channels=8',
        'model.neck.in_channels=[8,16,32,64]',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
    ]
    command = [sys.executable, TOOLS / 'demo.py', '--train', '4', '--val', '2', '--cfg-options', *shrunk]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    work = tmp_path / 'work_dirs/demo'
    results = json.loads((work / 'results.json').read_text())
    assert set(results) == {
        'bbox_mAP',
        'bbox_mAP_50',
        'bbox_mAP_s',
        'bbox_mAP_m',
        'bbox_mAP_l',
        'tta_bbox_mAP',
        'tta_bbox_mAP_50',
        'tta_bbox_mAP_s',
        'tta_bbox_mAP_m',
        'tta_bbox_mAP_l',
        'focus_bbox_mAP',
        'focus_bbox_mAP_50',
        'focus_bbox_mAP_s',
        'focus_bbox_mAP_m',
        'focus_bbox_mAP_l',
        'chips_per_image',
        'negative_chips_per_image',
        'pixels_vs_single_scale',
        'train_seconds',
    }
    assert results['chips_per_image'] > 0
    assert results['train_seconds'] > 1
    assert results['chips_per_image'] > results['negative_chips_per_image'] > 0
    assert len(list((work / 'chips').glob('*.png'))) == 8
    assert len(list((work / 'detections').glob('*.png'))) == 2
    assert 'Average Precision' in done.stdout


def test_a_failing_stage_stops_the_demo(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import demo

    (tmp_path / 'make_shapes_dataset.py').write_text('')
    (tmp_path / 'train_sniper.py').write_text('raise SystemExit(3)')
    monkeypatch.setattr(demo, 'TOOLS', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--work-dir', str(tmp_path / 'work')])
    with pytest.raises(SystemExit, match=r'train_sniper\.py failed with exit code 3'):
        demo.main()
    assert not (tmp_path / 'work/results.json').exists()
