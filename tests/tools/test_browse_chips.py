"""Which pictures there are; what is in them: tests/visualization/.

With --recipe: test_train_sniper.py, where there is one.
"""

import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmsniper.chips import ChipPlanner, NegativePool
from mmsniper.visualization import canvas, chips
from mmsniper.visualization.canvas import MARGIN, PANEL, PROPOSAL

TOOLS = Path(__file__).parents[2] / 'tools'
SIZE = (320, 240)
IMAGES = [(*SIZE, [dict(bbox=[20, 20, 20, 20])]), (*SIZE, [])]  # drawn twice as large
# At scale 2, where a chip has 64 px: two beside the object, one in its positive chip.
BOXES = np.array([[220, 150, 240, 170], [100, 150, 120, 170], [16, 16, 36, 36]], np.float32)


@pytest.fixture
def tool(monkeypatch):
    """The script as a module; the tools it imports lie beside it."""
    monkeypatch.syspath_prepend(TOOLS)
    import browse_chips

    return browse_chips


@pytest.fixture
def data(write_coco):
    """Config of two images, one without objects."""
    return write_coco(IMAGES)


@pytest.fixture
def run(tool, data, planner_cfg, pipeline, tmp_path, monkeypatch):
    """Runs the tool, with changes of the ChipDataset; returns the names of the pictures."""

    def call(*options, **changes):
        dataset = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=pipeline, **changes)
        config, out = tmp_path / 'config.py', tmp_path / 'chips'
        config.write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
        monkeypatch.setattr(sys, 'argv', [str(arg) for arg in ('browse_chips.py', config, '--out-dir', out, *options)])
        tool.main()
        return sorted(path.name for path in out.iterdir())

    return call


@pytest.fixture
def titles(tool, monkeypatch):
    """Every title that is drawn."""
    drawn = []
    for module in (tool, chips):
        monkeypatch.setattr(module, 'titled', lambda *args: drawn.append(args[1]) or canvas.titled(*args))
    return drawn


def test_a_picture_has_only_so_many_chips_and_says_of_how_many(run, titles):
    run('--max-chips', '3', empty_chips=7)
    assert [title for title in titles if ' of ' in title] == ['3 of 7 chips; --max-chips shows more']
    assert sum('zoom' in title and 'objects' not in title for title in titles) == 1 + 3


def test_each_config_has_a_folder_of_its_own(tool, data, planner_cfg, pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('one', 'two'):
        dataset = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=pipeline)
        (tmp_path / f'{name}.py').write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
        monkeypatch.setattr(sys, 'argv', ['browse_chips.py', f'{name}.py', '--images', '1'])
        tool.main()
        assert (tmp_path / f'work_dirs/chips/{name}/00000_0.png').exists()


def test_only_what_is_written_counts(run, capsys):
    assert run(empty_chips=0) == ['00000_0.png', '00000_0_chips.png', '00001_1.png']
    assert '3 pictures in' in capsys.readouterr().out


def test_negative_chips_and_the_proposals_of_a_file(run, titles, tmp_path, planner_cfg, capsys):
    pool, dump = tmp_path / 'negative_chips.npz', tmp_path / 'proposals.pkl'
    planner = ChipPlanner(**planner_cfg)
    chips = planner.negative(BOXES, SIZE, planner.positive([[20, 20, 40, 40]], SIZE), 1)
    found = [(f'images/{i}.png', SIZE, chips.bboxes.astype(int), chips.scale_idx) for i in range(2)]
    NegativePool.build(planner, 1, found).save(pool)
    dump.write_bytes(pickle.dumps({'images/0.png': BOXES}))
    run('--proposals', dump, negatives=dict(ann_file=str(pool)))
    assert [title for title in titles if 'px: 1 + 2 negative chips' in title]
    assert titles.count('scale 2 (zoom 2.00), negative') == 4
    printed = capsys.readouterr().out
    assert '4 pictures in' in printed
    assert f'warning: {dump} has no proposals for 1 of these 2 images: images/1.png' in printed
    pictures = [cv2.imread(str(tmp_path / 'chips' / name)) for name in ('00000_0.png', '00001_1.png')]
    pictures = [picture[: MARGIN + 480] for picture in pictures]  # without the legend, which has one more
    assert [(picture == PROPOSAL.colour).all(2).any() for picture in pictures] == [True, False]
    # Two squares of 40 px, one px thick; the frames of the chips hide a little.
    assert 7 * 39 < (pictures[0] == PROPOSAL.colour).all(2).sum() <= 8 * 39


def test_what_is_missing_or_broken_is_named(run, tmp_path):
    missing = dict(negatives=dict(ann_file=str(tmp_path / 'none.npz')))
    with pytest.raises(SystemExit, match=r'none\.npz, does not exist: run mmsniper recipe and give its work'):
        run(**missing)
    with pytest.raises(SystemExit, match=r'negative_chips\.npz does not exist: --recipe is the work directory of'):
        run('--recipe', tmp_path, **missing)
    with pytest.raises(SystemExit, match='has no negative chips: give --recipe with the config that the recipe had'):
        run('--recipe', tmp_path)
    dump = tmp_path / 'proposals.pkl'
    dump.write_bytes(pickle.dumps({'a/b.jpg': BOXES}))
    with pytest.raises(SystemExit, match=r"none of the 2 images is in .*'images/0\.png'; it has 'a/b\.jpg'"):
        run('--proposals', dump)
    dump.write_bytes(pickle.dumps({'images/0.png': BOXES * np.nan}))
    with pytest.raises(SystemExit, match=r'images/0\.png: box 0 is'):
        run('--proposals', dump)
    dump.write_bytes(pickle.dumps([BOXES]))
    with pytest.raises(SystemExit, match='holds a list, not a dict'):
        run('--proposals', dump)


@pytest.mark.parametrize('content', [None, b'no image', b''], ids=['missing', 'damaged', 'empty'])
def test_an_image_that_cannot_be_read_is_named(run, data, content):
    path = Path(data['data_root'], 'images/0.png')
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match=r'error: .*images/0\.png: cannot be read as an image'):
        run()


def test_what_is_mixed_and_what_is_whole_is_drawn_too(tool, data, planner_cfg, pipeline, tmp_path, monkeypatch):
    """A MultiImageMixDataset around the chips, and SNIP's samples of several sizes."""
    chips = dict(type='mmsniper.ChipDataset', dataset=data, planner=planner_cfg, pipeline=pipeline[:-1])
    mix = dict(type='mmsniper.MixChips', transform=dict(type='CopyPaste'))
    mixed = dict(type='MultiImageMixDataset', dataset=chips, pipeline=[mix, pipeline[-1]])
    snip = dict(
        type='mmsniper.ChipDataset',
        dataset=data,
        planner=dict(type='PyramidPlanner', scales=[3.0, 1.0], valid_ranges=[(None, 80), (60, None)]),
        pipeline=pipeline,
    )
    for name, dataset in dict(mixed=mixed, snip=snip).items():
        config, out = tmp_path / f'{name}.py', tmp_path / name
        config.write_text(f'train_dataloader = dict(dataset={dataset!r})\n')
        monkeypatch.setattr(sys, 'argv', ['browse_chips.py', str(config), '--out-dir', str(out)])
        tool.main()
        assert len(list(out.glob('*_chips.png'))) == 2
    # 960 x 720, reduced to a panel, and 320 x 240 beside it.
    picture = cv2.imread(str(next(iter(sorted(out.glob('*_chips.png'))))))
    assert picture.shape[1] == 2 * (PANEL + 4)
    assert 480 + MARGIN + 4 < picture.shape[0] < 480 + MARGIN + 60  # a legend under it
