import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from mmsniper.chips import ChipPlanner, NegativePool, PyramidPlanner, image_key
from mmsniper.chips.pool import FORMAT, claim_key

SETTINGS = dict(scales=[2.0, (128, 128)], valid_ranges=[(None, 60), (40, None)], chip_size=128, stride=16)
PLANNER = ChipPlanner(**SETTINGS)
IMAGES = [
    ('root/train/b.jpg', (400, 300), [[0, 0, 64, 64], [336, 236, 400, 300], [0, 0, 400, 300]], [0, 0, 1]),
    ('root/train/a.jpg', (70000, 100), [[69936, 0, 70000, 64]], [0]),
    ('root/val/a.jpg', (50, 60), [], []),
]


def build(images=IMAGES):
    return NegativePool.build(PLANNER, [5, 3], images, dict(classes=['thing']), dict(mmsniper='1'))


def same(one, two):
    arrays = [(getattr(one, name), getattr(two, name)) for name in ('bboxes', 'scale_idx', 'scale')]
    return all(a.dtype == b.dtype and a.tolist() == b.tolist() for a, b in arrays)


def test_an_empty_pool_is_written_and_read(tmp_path):
    build([]).save(tmp_path / 'empty.npz')
    pool = NegativePool.load(tmp_path / 'empty.npz')
    assert len(pool) == 0
    assert pool.chips('a/b.jpg') is None
    assert pool.counts().shape == (0, 2)


def test_it_gives_back_each_images_chips():
    pool = build()
    assert pool.keys == ['train/a.jpg', 'train/b.jpg', 'val/a.jpg']
    chips = pool.chips('train/b.jpg')
    assert chips.bboxes.tolist() == IMAGES[0][2]
    assert (chips.bboxes.dtype, chips.scale_idx.dtype) == (np.float32, np.int64)
    assert chips.scale.tolist() == [2.0, 2.0, 128 / 400]
    assert pool.chips('train/a.jpg').bboxes.tolist() == [[69936, 0, 70000, 64]]
    assert len(pool.chips('val/a.jpg')) == 0
    assert pool.chips('val/b.jpg') is None
    assert (pool.row('val/a.jpg'), pool.row('val/b.jpg')) == (2, -1)
    assert pool.sizes[pool.row('train/a.jpg')].tolist() == [70000, 100]
    assert pool.counts().tolist() == [[1, 0], [2, 1], [0, 0]]


def test_planned_chips_survive_the_file(tmp_path):
    rng, images = np.random.default_rng(0), []
    for i in range(20):
        corner = rng.uniform(0, 400, (60, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 90, (60, 2))], 1)
        chips = PLANNER.negative(boxes, (500, 450), PLANNER.positive(boxes[:2], (500, 450)), 1)
        images.append((f'x/{i}.jpg', (500, 450), chips))
    NegativePool.build(PLANNER, 1, [(p, s, c.bboxes, c.scale_idx) for p, s, c in images]).save(tmp_path / 'a.npz')
    pool = NegativePool.load(tmp_path / 'a.npz')
    assert sum(len(chips) for *_, chips in images) > 50
    assert all(same(pool.chips(path), chips) for path, _, chips in images)


def test_the_file_says_how_it_was_made(tmp_path):
    build().save(tmp_path / 'sub' / 'a.npz')
    pool = NegativePool.load(tmp_path / 'sub' / 'a.npz')
    assert pool.planner.settings == PLANNER.settings
    assert pool.min_proposals == [5, 3]
    assert (pool.dataset, pool.versions) == (dict(classes=['thing']), dict(mmsniper='1'))
    assert pool.fingerprint() == build().fingerprint() == build(IMAGES[::-1]).fingerprint()
    assert pool.fingerprint() != build(IMAGES[:2]).fingerprint()


def test_the_same_images_in_any_order_give_the_same_bytes(tmp_path):
    build().save(tmp_path / 'a.npz')
    build([*IMAGES[::-1], IMAGES[1]]).save(tmp_path / 'b.npz')
    assert (tmp_path / 'a.npz').read_bytes() == (tmp_path / 'b.npz').read_bytes()


def test_keys_are_those_of_dump_proposals():
    assert image_key('data/coco/train2017/1.jpg') == 'train2017/1.jpg'
    assert image_key('/1.jpg') == '/1.jpg'
    assert image_key('1.jpg') == '1.jpg'


def test_images_with_one_key_are_refused_by_both_names():
    with pytest.raises(ValueError, match="same key 'train/b.jpg'.*root/train/b.jpg and other/train/b.jpg"):
        build([*IMAGES, ('other/train/b.jpg', (5, 5), [], [])])
    paths = {}
    assert claim_key(paths, 'a/b/c.jpg') == claim_key(paths, 'a/b/c.jpg') == 'b/c.jpg'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(scales=[1.5, (128, 128)]), r'mined with scales=\[2\.0, .* the planner has scales=\[1\.5, \[128\.0'),
        (dict(valid_ranges=[(None, 50), (40, None)]), r'mined with valid_ranges=\[\[0\.0, 60\.0.*has .*50\.0'),
        (dict(chip_size=256), r'a\.npz was mined with chip_size=128, but the planner has chip_size=256: .* mine again'),
    ],
)
def test_other_planners_are_refused_with_both_sides(change, message):
    with pytest.raises(ValueError, match=message):
        build().check_planner(ChipPlanner(**{**SETTINGS, **change}), 'a.npz')


def test_whole_images_take_no_chips():
    whole = PyramidPlanner(SETTINGS['scales'], SETTINGS['valid_ranges'])
    with pytest.raises(ValueError, match='was mined with chip_size=.*, but the planner has type=PyramidPlanner: its'):
        build().check_planner(whole, 'a.npz')


def test_another_stride_is_no_other_planner():
    build().check_planner(ChipPlanner(**{**SETTINGS, 'stride': 8}), 'a.npz')


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.npz does not exist: mine it with'):
        NegativePool.load(tmp_path / 'none.npz')


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / 'a.npz'
    build().save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytearray(whole)
    flipped[middle] ^= 255
    for content in (b'', b'not a zip', whole[:middle], whole[: len(whole) - 30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'a\.npz is not a file of negative chips, or is damaged'):
            NegativePool.load(path)
    np.savez(path, bboxes=np.zeros(3))
    with pytest.raises(ValueError, match='not a file of negative chips'):
        NegativePool.load(path)
    np.savez(path, about=np.array([{}], object))
    with pytest.raises(ValueError, match='not a file of negative chips'):
        NegativePool.load(path)


def test_a_file_of_another_format_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr('mmsniper.chips.pool.FORMAT', 'mmsniper negative chips 9')
    build().save(tmp_path / 'a.npz')
    monkeypatch.undo()
    with pytest.raises(ValueError, match=f"its format is 'mmsniper negative chips 9', not '{FORMAT}'"):
        NegativePool.load(tmp_path / 'a.npz')


@pytest.mark.parametrize(
    'field', [dict(keys=['a']), dict(bboxes=np.zeros((1, 4), int)), dict(scale_idx=[0, 1]), dict(counts=[1, 1])]
)
def test_tables_that_do_not_fit_are_refused(tmp_path, field):
    args = dict(
        keys=['a', 'b'],
        sizes=[(5, 5), (6, 6)],
        counts=[1, 2],
        bboxes=np.zeros((3, 4), int),
        scale_idx=[0, 0, 1],
    )
    NegativePool(PLANNER, 1, **{**args, **field}).save(tmp_path / 'a.npz')
    with pytest.raises(ValueError, match='do not fit'):
        NegativePool.load(tmp_path / 'a.npz')


@pytest.mark.parametrize(
    ('bboxes', 'scale_idx', 'message'),
    [
        (
            [[0, 0, 64, 64], [336, 236, 401, 300]],
            [0, 0],
            r'chip 1, \[336, 236, 401, 300\], is no part of its 400 x 300',
        ),
        ([[0, 0, 64, 64], [9, 9, 9, 20]], [0, 0], 'chip 1, .* is no part'),
        ([[0, 0, 64, 64]], [2], 'a chip is of scale 2, but there are 2 scales'),
    ],
)
def test_chips_that_cannot_be_are_refused(tmp_path, bboxes, scale_idx, message):
    build([('x/a.jpg', (400, 300), bboxes, scale_idx)]).save(tmp_path / 'a.npz')
    with pytest.raises(ValueError, match=message):
        NegativePool.load(tmp_path / 'a.npz')


def test_numbers_of_another_kind_are_refused(tmp_path):
    build().save(tmp_path / 'a.npz')
    content = dict(np.load(tmp_path / 'a.npz'))
    np.savez(tmp_path / 'a.npz', **{**content, 'scale_idx': np.array([0, 256, 0, 1])})  # 256 would become scale 0
    with pytest.raises(ValueError, match='not of whole numbers'):
        NegativePool.load(tmp_path / 'a.npz')


def test_whatever_byte_is_damaged_it_is_refused_by_name_or_read_as_it_was(tmp_path):
    path, rng = tmp_path / 'a.npz', np.random.default_rng(0)
    build().save(path)
    whole, refused, said = path.read_bytes(), 0, set()
    for _ in range(500):
        content = bytearray(whole)
        for place in rng.integers(len(whole), size=2):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            pool = NegativePool.load(path)
        except ValueError as error:
            said.add(str(error).split(' (')[0])
            refused += 1
        else:
            again = build()
            assert all((pool.chips(key).bboxes == again.chips(key).bboxes).all() for key in again.keys)
    assert said == {f'{path} is not a file of negative chips, or is damaged'}
    assert refused > 300


def test_a_full_disk_leaves_nothing_but_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.npz'
    build().save(path)
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space'):
        build(IMAGES[:1]).save(path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ['a.npz']


KILLED = """
import os, signal, sys
from mmsniper.chips import ChipPlanner, NegativePool
os.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
planner = ChipPlanner([2.0, (128, 128)], [(None, 60), (40, None)], 128, 16)
NegativePool.build(planner, 1, [('x/new.jpg', (50, 60), [], [])]).save(sys.argv[1])
"""


@pytest.mark.parametrize('call', ['fsync', 'replace'])
def test_a_kill_while_writing_leaves_no_half_file(tmp_path, call):
    path = tmp_path / 'a.npz'
    command = [sys.executable, '-c', KILLED.format(call=call), str(path)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    assert not path.exists()
    build().save(path)  # what the killed run left beside the file is in nobody's way
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    assert NegativePool.load(path).keys == build().keys
    build().save(path)
    assert [file.name for file in tmp_path.iterdir()] == ['a.npz']


def test_a_data_set_like_coco_takes_few_megabytes(tmp_path):
    rng, n_images, n_chips = np.random.default_rng(0), 118000, 10
    origin = rng.integers(0, 300, (n_images * n_chips, 2))  # random ones, which compress worst
    pool = NegativePool(
        PLANNER,
        26,
        [f'train2017/{i:012d}.jpg' for i in range(n_images)],
        np.tile([640, 480], (n_images, 1)),
        np.full(n_images, n_chips),
        np.hstack([origin, origin + 171]),
        rng.integers(0, 2, len(origin)),
    )
    pool.save(tmp_path / 'a.npz')
    assert (tmp_path / 'a.npz').stat().st_size < 10 * 2**20
