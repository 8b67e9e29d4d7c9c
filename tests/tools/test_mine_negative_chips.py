import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.structures import InstanceData

from mmsniper.chips import ChipPlanner, NegativePool
from mmsniper.datasets import ChipDataset

TOOLS = Path(__file__).parents[2] / 'tools'
KEYS = [f'images/{i}.png' for i in range(4)]


@pytest.fixture
def tool(monkeypatch):
    """The script as a module; the tools it imports lie beside it."""
    monkeypatch.syspath_prepend(TOOLS)
    import mine_negative_chips

    return mine_negative_chips


@pytest.fixture
def config(write_coco, some_images, planner_cfg, pipeline, tmp_path):
    """Path of a config that trains on four images."""
    dataset = dict(
        type='mmsniper.ChipDataset',
        dataset=write_coco(some_images),
        planner=planner_cfg,
        pipeline=pipeline,
        negatives=dict(ann_file=str(tmp_path / 'negatives.npz')),
    )
    path = tmp_path / 'config.py'
    path.write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
    return path


@pytest.fixture
def proposals():
    """150 boxes per image with scores, as DumpProposals writes them."""

    def boxes(seed):
        rng = np.random.default_rng(seed)
        corner = rng.uniform(0, 100, (150, 2))
        return np.concatenate([corner, corner + rng.uniform(5, 40, (150, 2))], 1).astype(np.float32)

    return {
        key: InstanceData(bboxes=boxes(i), scores=np.linspace(1, 0, 150, dtype=np.float32))
        for i, key in enumerate(KEYS)
    }


@pytest.fixture
def run(tool, config, tmp_path, monkeypatch):
    """Runs the tool on some proposals; returns the pool it wrote."""

    def call(proposals, *options, add='--min-proposals 8'):
        path, out = tmp_path / 'proposals.pkl', tmp_path / 'negatives.npz'
        path.write_bytes(pickle.dumps(proposals))
        arguments = ['mine_negative_chips.py', config, path, '--out', out, *add.split(), *options]
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in arguments])
        tool.main()
        return NegativePool.load(out)

    return call


def test_no_proposals_for_any_image_is_an_error(run):
    with pytest.raises(SystemExit, match="none of the 4 images is in .* first one as 'images/0.png'; it has 'a/b.jpg'"):
        run({'a/b.jpg': np.zeros((0, 4))})


def test_it_mines_for_the_configs_data_set_and_sums_up(run, proposals, config, capsys, some_images, planner_cfg):
    pool = run(proposals)
    assert pool.keys == KEYS
    assert pool.min_proposals == [8, 8, 8]
    assert pool.dataset == dict(classes=['thing', 'other'])
    counts = pool.counts()
    assert counts.sum() > 4
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ['2.0', '8', str(counts[:, 0].sum()), f'{counts[:, 0].mean():.2f}', str((counts[:, 0] == 0).sum())] in lines
    assert f'chips per image, {len(pool)} images' in printed
    assert 'warning' not in printed
    # The same as the planner says, crowds left out.
    planner = ChipPlanner(**planner_cfg)
    width, height, annotations = some_images[3]
    objects = [(x, y, x + w, y + h) for a in annotations if not a.get('iscrowd') for x, y, w, h in [a['bbox']]]
    positives = planner.positive(objects, (width, height))
    expected = planner.negative(proposals[KEYS[3]].bboxes, (width, height), positives, 8)
    assert pool.chips(KEYS[3]).bboxes.tolist() == expected.bboxes.tolist()


def test_what_it_writes_is_what_the_data_set_reads(run, proposals, tool, config):
    from mmengine.config import Config
    from mmengine.registry import DATASETS

    run(proposals)
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    assert isinstance(dataset, ChipDataset)
    assert (dataset.current_plan.kind == 1).sum() >= 4


def test_arrays_and_dicts_give_the_same_chips(run, proposals, tmp_path):
    run(proposals)
    expected = (tmp_path / 'negatives.npz').read_bytes()
    run({key: entry.bboxes for key, entry in proposals.items()})
    assert (tmp_path / 'negatives.npz').read_bytes() == expected
    run({key: np.column_stack([entry.bboxes, entry.scores]) for key, entry in proposals.items()})
    assert (tmp_path / 'negatives.npz').read_bytes() == expected
    run({key: dict(bboxes=entry.bboxes.tolist()) for key, entry in proposals.items()})
    assert (tmp_path / 'negatives.npz').read_bytes() == expected
    assert len(run({key: np.zeros((0, 5)) for key in KEYS})) == 4


def test_the_best_proposals_can_be_chosen(run, proposals):
    limited = run(proposals, '--max-proposals', 60)
    best = run({key: entry[:60] for key, entry in proposals.items()})
    assert limited.bboxes.tolist() == best.bboxes.tolist()
    assert len(run(proposals).bboxes) > len(best.bboxes)
    with pytest.raises(SystemExit, match=r'images/0\.png: its proposals have no scores'):
        run({key: entry.bboxes for key, entry in proposals.items()}, '--max-proposals', 60)


def test_missing_and_foreign_images_are_counted(run, proposals, capsys):
    del proposals['images/2.png']
    proposals['other/9.png'] = proposals['other/8.png'] = proposals['images/0.png']
    pool = run(proposals)
    assert pool.chips('images/2.png') is None
    printed = capsys.readouterr().out
    assert 'warning: 1 images of the data set have no proposals and get no negative chips: images/2.png' in printed
    assert '2 images with proposals are not in the data set' in printed


def test_boxes_in_other_units_give_a_warning(run, proposals, capsys):
    run({key: entry.bboxes / 300 for key, entry in proposals.items()})
    assert 'no image has a negative chip: are the boxes in pixels of the original images?' in capsys.readouterr().out


def test_thresholds_come_from_the_configs_miner(run, proposals, config, capsys):
    with pytest.raises(SystemExit):
        run(proposals, add='')
    assert 'has no NegativeChipMiner with min_proposals: say --min-proposals' in capsys.readouterr().err
    miner = dict(type='mmsniper.NegativeChipMiner', min_proposals=[9, 8, 7])
    config.write_text(config.read_text() + f"test_evaluator = [dict(type='Other'), {miner!r}]\n")
    assert run(proposals, add='').min_proposals == [9, 8, 7]
    assert run(proposals).min_proposals == [8, 8, 8]
    assert run(proposals, add='--min-proposals 5 6 7').min_proposals == [5, 6, 7]


def test_broken_input_is_named(run, proposals):
    with pytest.raises(SystemExit, match='3 scales but 2 min_proposals'):
        run(proposals, add='--min-proposals 5 6')
    proposals['images/1.png'].bboxes[3, 0] = np.nan
    with pytest.raises(SystemExit, match=r'images/1\.png: box 3 is'):
        run(proposals)


def test_a_list_of_proposals_is_refused(run):
    with pytest.raises(SystemExit, match='holds a list, not a dict of proposals by image'):
        run([np.zeros((3, 5))])


def test_images_of_one_key_are_refused(run, proposals, write_coco, some_images, config):
    one, two = (write_coco(some_images, name) for name in ('one', 'two'))
    config.write_text(
        config.read_text()
        + f'train_dataloader["dataset"]["dataset"] = dict(type="ConcatDataset", datasets=[{one!r}, {two!r}])\n'
    )
    with pytest.raises(SystemExit, match=r"same key 'images/0\.png'"):
        run(proposals)
