"""The recipe, killed and called again, ends as if nobody had killed it; kill_recipe.py does it more often."""

import random

import pytest
from kill_recipe import Kills


@pytest.mark.slow
def test_a_killed_recipe_ends_as_an_undisturbed_one(tmp_path):
    kills = Kills(tmp_path)
    rng = random.Random(1)
    for n, while_writing in enumerate((False, True, False)):
        assert kills.strike(n, rng, while_writing) is None
