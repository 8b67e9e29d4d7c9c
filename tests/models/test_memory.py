"""What a network keeps for its backward pass."""

import torch
from torch import nn

from mmsniper.models.memory import kept_for_backward


def test_inputs_of_layers_are_kept_once_and_weights_are_not():
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5, bias=False))
    image = torch.zeros(3, 10)
    with kept_for_backward(model) as kept:
        model(image).sum()
    # The input of the first layer, and the output of the activation, which the second layer takes, too.
    assert sorted(kept.values()) == [3 * 10 * 4, 3 * 20 * 4]


def test_nothing_is_noted_beyond_the_block_and_gradients_are_as_ever():
    model = nn.Linear(4, 4)
    with kept_for_backward(model) as kept:
        loss = model(torch.ones(2, 4)).square().sum()
    before = dict(kept)
    model(torch.ones(2, 4))
    assert kept == before
    loss.backward()
    expected = torch.autograd.grad(model(torch.ones(2, 4)).square().sum(), model.weight)[0]
    assert torch.equal(model.weight.grad, expected)
