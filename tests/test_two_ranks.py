"""Two processes of torchrun, without a GPU, do what one does: training, mining, --tta and infer.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import torch
from mmdet.registry import MODELS
from mmengine.fileio import load

ROOT = Path(__file__).parents[1]


@pytest.fixture
def data(write_coco, some_images):
    return write_coco([*some_images, some_images[0]], 'five')  # not a number that two ranks share


@pytest.fixture
def jobs(tiny_cfg, data, tmp_path, monkeypatch):
    """Configs and random weights; a function of a work directory and a launcher that gives the tools' arguments."""
    monkeypatch.syspath_prepend(ROOT / 'tools')
    import train_sniper

    ann_file = data['data_root'] + data['ann_file']
    paths = {key: value for key, value in data.items() if key != 'type'}
    tiny_cfg.merge_from_dict(
        dict(
            train_dataloader=dict(dataset=dict(dataset=paths)),
            test_dataloader=dict(dataset=paths),
            test_evaluator=dict(ann_file=ann_file),
            train_cfg=dict(max_epochs=2, val_begin=9),
            rpn_config='sniper_rpn_tiny_shapes.py',
        )
    )
    tiny_cfg.train_dataloader.dataset.negatives = dict(per_image=1)
    _, mine, _ = train_sniper.stage_configs(tiny_cfg, tmp_path / 'negative_chips.npz')
    mine.test_evaluator.min_proposals = 2
    tiny_cfg.train_dataloader.dataset.pop('negatives')
    tiny_cfg.custom_hooks = [dict(type='RecordChipsOfRank')]
    mine.test_dataloader.update(num_workers=0, persistent_workers=False)
    torch.manual_seed(0)
    for name, cfg, model in ('detector', tiny_cfg, tiny_cfg.model), ('mine', mine, mine.model.module):
        cfg.dump(tmp_path / f'{name}.py')
        meta = dict(dataset_meta=dict(classes=data['metainfo']['classes']))
        torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta=meta), tmp_path / f'{name}.pth')

    def arguments(out, launcher, batch_size):
        out.mkdir()

        def options(job):
            # A folder each: mmengine names those of runs by the second.
            return ['--launcher', launcher, '--work-dir', out / 'work' / job, '--cfg-options']

        detector, mine = ([tmp_path / f'{name}.py', tmp_path / f'{name}.pth'] for name in ('detector', 'mine'))
        return [
            [
                'train',
                detector[0],
                *options('train'),
                f'custom_hooks.0.folder={out}',
                f'train_dataloader.batch_size={batch_size}',
            ],
            ['test', *mine, *options('mine'), f'test_evaluator.out_file={out / "negatives.npz"}'],
            ['test', *detector, '--tta', *options('tta'), f'test_evaluator.outfile_prefix={out / "tta"}'],
            ['infer', *detector, f'{data["data_root"]}images', '--out', out / 'found', '--launcher', launcher],
        ]

    return arguments


def figures(out):
    """All that the tests of a work directory measured, but time."""
    found = {}
    for path in (out / 'work').glob('*/*/*.json'):
        # Both ranks write what mmengine's LoggerHook logs of a test, at once: behind the shorter text (times differ)
        # the end of the longer may be left.
        found.update(json.JSONDecoder().raw_decode(path.read_text())[0])
    return {name: value for name, value in found.items() if 'time' not in name}


def test_two_ranks_do_what_one_does(jobs, tmp_path, monkeypatch):
    alone, both = tmp_path / 'alone', tmp_path / 'both'
    (tmp_path / 'jobs.json').write_text(json.dumps(jobs(both, 'pytorch', 2), default=str))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [ROOT / 'tests/ranks.py', tmp_path / 'jobs.json']
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path]), 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with monkeypatch.context() as patched:
        patched.setattr(sys, 'argv', [])
        patched.setattr(sys, 'path', [*sys.path])
        ranks.run(jobs(alone, 'none', 4))
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output[-5000:]

    shown = [json.loads((both / f'rank{rank}.json').read_text()) for rank in range(2)]
    straight = json.loads((alone / 'rank0.json').read_text())
    for epoch in range(2):
        # A rank is shown every other chip; one more of them where their number is odd.
        parts = [[chip for chip in part if chip[0] == epoch] for part in shown]
        dealt = [chip for pair in zip(*parts, strict=True) for chip in pair]
        expected = [chip for chip in straight if chip[0] == epoch]
        assert dealt[: len(expected)] == expected
        assert len(dealt) - len(expected) == len(expected) % 2

    assert (both / 'negatives.npz').read_bytes() == (alone / 'negatives.npz').read_bytes()
    assert figures(both) == figures(alone)
    assert figures(both)['negative_chips/images'] == 5 and 'coco/bbox_mAP' in figures(both)
    by_tta = [load(out / 'tta.bbox.json') for out in (alone, both)]
    assert by_tta[0] == by_tta[1] and len(by_tta[0]) > 20
    found = [(out / 'found/detections.json').read_text() for out in (alone, both)]
    assert found[0] == found[1]
    assert len(json.loads(found[0])['images']) == 5
    assert [path.name for path in (both / 'found').glob('*') if 'part' in path.name] == []
    assert output.count('5 images, ') == 1
