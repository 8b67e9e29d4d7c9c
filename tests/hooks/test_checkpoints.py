"""Which checkpoint of a work directory counts."""

import os
import shutil

import pytest
import torch

from mmsniper.hooks.checkpoints import is_whole, last_checkpoint, mend_last_checkpoint


@pytest.fixture
def work_dir(tmp_path):
    """Checkpoints of iterations 5, 10 and 15, written in that order."""
    folder = tmp_path / 'run'
    folder.mkdir()
    for n, step in enumerate((5, 10, 15)):
        torch.save(dict(step=step), folder / f'iter_{step}.pth')
        os.utime(folder / f'iter_{step}.pth', (1000 + n, 1000 + n))
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_15.pth'))
    return folder


def test_an_empty_folder_has_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
    mend_last_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_whole_one_is_taken(work_dir, messages):
    assert last_checkpoint(work_dir) == str(work_dir / 'iter_15.pth')
    assert not messages()


@pytest.mark.parametrize('damage', [b'', b'PK\x03\x04 half', None])
def test_a_damaged_or_missing_one_is_passed_over(work_dir, messages, damage):
    last = work_dir / 'iter_15.pth'
    last.unlink() if damage is None else last.write_bytes(damage)
    mend_last_checkpoint(work_dir)
    assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'iter_10.pth')
    what = 'gone' if damage is None else 'damaged'
    assert any(f'iter_15.pth is {what}; the one before is taken, iter_10.pth' in message for message in messages())


def test_what_is_beyond_a_damaged_one_or_of_another_kind_is_not_before_it(work_dir):
    for name in ('iter_90', 'epoch_14', 'best_iter_14'):
        torch.save({}, work_dir / f'{name}.pth')
    (work_dir / 'iter_15.pth').write_bytes(b'')
    assert last_checkpoint(work_dir) == str(work_dir / 'iter_10.pth')


@pytest.mark.parametrize('order', [(15, 10, 5), (5, 15, 10), (10, 5, 15)])
def test_in_a_copy_times_say_nothing(work_dir, order):
    (work_dir / 'iter_15.pth').write_bytes(b'')
    for n, step in enumerate(order):
        os.utime(work_dir / f'iter_{step}.pth', (2000 + n, 2000 + n))
    assert last_checkpoint(work_dir) == str(work_dir / 'iter_10.pth')


def test_names_of_another_template_count_too(work_dir):
    for step in (5, 10, 15):
        (work_dir / f'iter_{step}.pth').rename(work_dir / f'ckpt_{step}.pth')
    (work_dir / 'ckpt_15.pth').write_bytes(b'')
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'ckpt_15.pth'))
    assert last_checkpoint(work_dir) == str(work_dir / 'ckpt_10.pth')


def test_what_is_no_local_file_is_left_to_mmengine(work_dir, messages):
    (work_dir / 'last_checkpoint').write_text('s3://bucket/run/iter_15.pth')
    mend_last_checkpoint(work_dir)
    assert (work_dir / 'last_checkpoint').read_text() == 's3://bucket/run/iter_15.pth'
    assert not messages()


def test_an_empty_pointer_means_the_newest(work_dir, messages):
    (work_dir / 'last_checkpoint').write_text('')
    assert last_checkpoint(work_dir) == str(work_dir / 'iter_15.pth')
    assert any('last_checkpoint is empty' in message for message in messages())


def test_without_any_whole_one_nothing_is_overwritten(work_dir):
    for path in work_dir.glob('*.pth'):
        path.write_bytes(b'')
    with pytest.raises(
        ValueError, match=r'iter_15\.pth is damaged, and there is none before it .* remove .* to start anew'
    ):
        mend_last_checkpoint(work_dir)
    assert (work_dir / 'last_checkpoint').exists()


def test_a_copy_uses_its_own(work_dir, tmp_path):
    shutil.copytree(work_dir, tmp_path / 'copy')
    assert last_checkpoint(tmp_path / 'copy') == str(tmp_path / 'copy/iter_15.pth')


def test_checkpoints_kept_elsewhere_are_found_there(work_dir, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere/last_checkpoint').write_text(str(work_dir / 'iter_5.pth'))
    assert last_checkpoint(tmp_path / 'elsewhere') == str(work_dir / 'iter_5.pth')
    (tmp_path / 'elsewhere/last_checkpoint').write_text(str(work_dir / 'iter_15.pth'))
    (work_dir / 'iter_15.pth').write_bytes(b'')
    assert last_checkpoint(tmp_path / 'elsewhere') == str(work_dir / 'iter_10.pth')


def test_every_cut_is_noticed(work_dir):
    path = work_dir / 'iter_5.pth'
    whole = path.read_bytes()
    assert is_whole(path)
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        assert not is_whole(path)
