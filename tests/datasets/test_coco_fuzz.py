"""Files with something wrong in them train right or are refused by name; the files are of fuzz_coco.py."""

import pytest
from fuzz_coco import Fuzz

FILES = 300


@pytest.mark.parametrize('first', range(0, FILES, 50))
def test_no_fuzzed_file_trains_wrong(tmp_path, first):
    fuzz = Fuzz(tmp_path)
    faults = {seed: fault for seed in range(first, first + 50) if (fault := fuzz.try_file(seed))}
    assert not faults
    assert fuzz.verdicts['refused'] > 30 and fuzz.verdicts['loaded'] > 0


def test_the_check_is_what_refuses_them(tmp_path, monkeypatch):
    """Without it the same files do train wrong: the oracle sees what it is there to see."""
    monkeypatch.setattr('mmsniper.datasets.coco_file.CocoFile.check', lambda self, *given: None)
    fuzz = Fuzz(tmp_path)
    faults = [fault for seed in range(25) if (fault := fuzz.try_file(seed))]
    assert any('taught what the file does not say' in fault for fault in faults)
    assert len(faults) > 8
