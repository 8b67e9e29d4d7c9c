"""Statistics of batch norm, averaged exactly over a set of batches (Mix & Match, Hoffer et al., 2019, sec. 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

DROPOUT = '_DropoutNd', 'DropPath', 'DropBlock'
SHOWN = 4


class Calibrated(NamedTuple):
    """What was done to a detector.

    Attributes:
        n_samples: Of this process, that statistics were taken of.
        frozen: Layers that are frozen, and stay as they are.
        unused: Layers that no sample reached, and that stay, too.
    """

    n_samples: int
    frozen: list[str]
    unused: list[str]


class Moments:
    """Mean and variance of each channel of what one layer of batch norm is given, over all batches and processes."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        # Sums of 1, of the values and of their squares; in double precision, or a large mean would hide the variance.
        self.sums = torch.zeros(3, layer.num_features, dtype=torch.float64)

    def add(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook."""
        values = inputs[0].detach().float()
        dims = [dim for dim in range(values.ndim) if dim != 1]
        var, mean = torch.var_mean(values, dims, correction=0)
        mean, var = mean.double().cpu(), var.double().cpu()
        # By the law of total variance: E[x^2] is that of the variances plus that of the squared means.
        n = values.numel() / values.shape[1]
        self.sums += n * torch.stack([torch.ones_like(mean), mean, var + mean**2])

    def write(self) -> bool:
        """Make them the layer's statistics; whether the layer was given anything."""
        sums = self.sums.to(self.layer.running_mean.device)
        all_reduce(sums)
        n = sums[0]
        if not (n > 1).all():
            return False
        mean = sums[1] / n
        self.layer.running_mean.copy_(mean)
        # As in training, of a sample.
        self.layer.running_var.copy_((sums[2] / n - mean**2).clamp(min=0) * n / (n - 1))
        return True


def batch_norms(model: nn.Module, part: nn.Module | None = None) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Layers of batch norm that training trains, and frozen ones, by name; the model is left in training mode.

    Args:
        model: A detector.
        part: Of it, which is looked at; None = all.
    """
    model.train()  # as norm_eval and frozen_stages have it
    named = (model if part is None else part).named_modules()
    layers = {name: one for name, one in named if isinstance(one, _BatchNorm)}
    trained = {name: layer for name, layer in layers.items() if layer.training}
    return trained, {name: layer for name, layer in layers.items() if name not in trained}


def trained_batch_norms(model: nn.Module) -> tuple[dict[str, nn.Module], list[str]]:
    """Layers of batch norm whose statistics training changes, and the names of the frozen ones.

    Args:
        model: A detector; it is left in training mode.

    Raises:
        ValueError: If it has no batch norm, or all of it is frozen; names what it has.
    """
    trained, frozen = (
        {name: layer for name, layer in layers.items() if layer.running_mean is not None}
        for layers in batch_norms(model)
    )
    if not trained and not frozen:
        others = sorted({type(part).__name__ for part in model.modules() if 'Norm' in type(part).__name__})
        raise ValueError(
            f'{type(model).__name__} has no batch norm, so there is nothing to calibrate; its normalization is '
            f'{", ".join(others) or "none"}'
        )
    names = list(frozen)
    if not trained:
        raise ValueError(
            f'all {len(names)} layers of batch norm are frozen ({shown(names)}): their weights were trained with the '
            'statistics that they have; those to calibrate are trained with norm_eval=False'
        )
    return trained, names


def shown(names: list[str]) -> str:
    """Some of many names."""
    return ', '.join(names[:SHOWN]) + (f', ... {names[-1]}' if len(names) > SHOWN else '')


def calibrate(model: nn.Module, batches: Iterable[dict[str, Any]]) -> Calibrated:
    """Give a detector the batch statistics of some training batches.

    Each layer gets mean and variance over all that it is given, while every batch is normalized by itself as in
    training: exact, unlike a moving average, which weighs the last batches most, or a mean of batch variances, which
    lacks how much batches differ. Frozen layers stay as they are, and so do weights.

    Args:
        model: A detector, without what makes it parallel; in evaluation mode afterwards.
        batches: As a training loader gives them; each process its own.

    Returns:
        What was done.

    Raises:
        ValueError: As :func:`trained_batch_norms`, or if there is no batch.
    """
    layers, frozen = trained_batch_norms(model)
    for part in model.modules():
        if any(kind.__name__ in DROPOUT for kind in type(part).__mro__):
            part.eval()  # what is tested has none
    moments = {name: Moments(layer) for name, layer in layers.items()}
    handles = [layer.register_forward_pre_hook(moments[name].add) for name, layer in layers.items()]
    n_samples = 0
    try:
        with torch.no_grad():
            for batch in batches:
                data = model.data_preprocessor(batch, True)
                n_samples += len(data['inputs'])
                model(**data, mode='loss')
        if not n_samples:
            raise ValueError('there is no batch to take statistics of')
        unused = [name for name, found in moments.items() if not found.write()]
    finally:
        for handle in handles:
            handle.remove()
        model.eval()
    return Calibrated(n_samples, frozen, unused)
