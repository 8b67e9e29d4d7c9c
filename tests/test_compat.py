import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmsniper.compat import allow_mmengine_checkpoints


@pytest.fixture(autouse=True)
def _allowed():
    """As mmsniper's registry does it; a loader that ran before may have taken entries off the list."""
    allow_mmengine_checkpoints()


def test_a_logged_buffer_survives_with_the_safety_on(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(log=buffer), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)['log']
    assert loaded.mean() == 1.5


class Reach:
    """Pickles as getattr(owner, name)."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


@pytest.mark.parametrize('payload', [Reach(HistoryBuffer, '__init__'), Reach([], 'append')], ids=['buffer', 'list'])
def test_getattr_reaches_nothing_else(tmp_path, payload):
    torch.save(dict(payload=payload), tmp_path / 'a.pth')
    with pytest.raises(pickle.UnpicklingError, match='no mmengine checkpoint'):
        torch.load(tmp_path / 'a.pth', weights_only=True)
