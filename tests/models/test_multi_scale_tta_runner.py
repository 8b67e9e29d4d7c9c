"""MultiScaleChipTTA in mmengine's test loop: by tools/test.py --tta, alone and as two ranks."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.fileio import load

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location('tta_ranks', ROOT / 'tests/models/tta_ranks.py')
tta_ranks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tta_ranks)


@pytest.fixture
def data(write_coco):
    """Five images, not a number that two ranks share; objects amid tiles and across their borders, small and large."""
    images = [
        (320, 240, [dict(bbox=[20 + 50 * k, 12 + 9 * n, 9 + 3 * n + 2 * k, 10 + 4 * n]) for k in range(5)])
        for n in range(3)
    ]
    images += [(200, 150, [dict(bbox=[30, 20, 130, 110], category_id=4)]), (100, 120, [])]
    return write_coco(images, classes=('thing', 'other', 'third'))


def test_two_ranks_give_the_figures_of_one(data, oracle, tmp_path):
    alone = tta_ranks.figures(oracle('pasted'), data, tmp_path / 'alone')
    # The oracle calls a grey thing each of three classes: two objects' classes are right, and nothing is of the third.
    assert 0.3 < alone['coco/bbox_mAP'] <= 1
    assert 0.3 < alone['coco/segm_mAP'] <= 1
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, ROOT / 'tests/models/tta_ranks.py', '2', port, tmp_path / 'both', json.dumps(data)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), *sys.path])))
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        assert load(tmp_path / f'both/figures_{rank}.json') == alone


@pytest.mark.smoke
def test_mmdets_test_script_drives_it(demo_cfg, tmp_path, run_tool):
    demo_cfg.dump(tmp_path / 'mine.py')
    weights = MODELS.build(demo_cfg.model).state_dict()
    weights['roi_head.bbox_head.fc_cls.bias'][1] += 10  # every proposal is class 1
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    arguments = [tmp_path / 'mine.py', tmp_path / 'weights.pth', '--tta', '--work-dir', tmp_path / 'work']
    arguments += ['--out', tmp_path / 'found.pkl', '--show-dir', 'drawn']
    arguments += ['--cfg-options', 'tta_model.tta_cfg.max_per_img=7']
    assert run_tool('test.py', *arguments).returncode == 0
    found = load(tmp_path / 'found.pkl')
    assert [len(one['pred_instances']['scores']) for one in found] == [7] * 5
    assert all((one['pred_instances']['labels'] == 1).all() for one in found)
    assert len(list((tmp_path / 'work').rglob('drawn/*.png'))) == 5
    (figures,) = (tmp_path / 'work').glob('*/*.json')
    assert 'coco/bbox_mAP' in load(figures)
