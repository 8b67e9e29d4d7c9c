import sys
import time

import pytest

from mmsniper.datasets import ChipDataset, chip_dataset, coco_file
from mmsniper.datasets.reports import progress


def test_what_takes_two_seconds_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    assert list(progress(range(5), 'Quick')) == [0, 1, 2, 3, 4]
    assert 'Quick' not in capsys.readouterr().err
    assert sum(time.sleep(0.3) is None for _ in progress(range(11), 'Slow')) == 11
    assert 'Slow:' in (said := capsys.readouterr().err) and '/11' in said


@pytest.mark.parametrize(('main', 'terminal'), [(False, True), (True, False)])
def test_other_ranks_and_log_files_get_none(monkeypatch, main, terminal):
    monkeypatch.setattr('mmsniper.datasets.reports.is_main_process', lambda: main)
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: terminal, raising=False)
    items = [1, 2]
    assert progress(items, 'Slow') is items


@pytest.mark.parametrize('large', [True, False])
def test_what_has_no_bar_is_announced(write_coco, some_images, planner_cfg, messages, monkeypatch, large):
    monkeypatch.setattr(coco_file, 'LARGE_FILE', 10 if large else 10**9)
    monkeypatch.setattr(chip_dataset, 'MANY_IMAGES', 2 if large else 10**9)
    monkeypatch.setattr(chip_dataset, 'is_cold', lambda: False)
    ChipDataset(write_coco(some_images), planner_cfg).plan(0)
    said = '\n'.join(messages())
    assert ('annotations.json, 0 MB' in said) == ('planning 4 images' in said) == large
