"""Predictions in the middle of a training that does not notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ..datasets.seeding import seeded


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode, without gradients; then all is as it was.

    Batch statistics, gradients, random states and the mode of every module stay what they were.
    """
    modes = [(module, module.training) for module in model.modules()]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices), seeded(0):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def predict_chips(
    model: nn.Module, inputs: Sequence[Tensor], samples: Sequence[DetDataSample], most: int
) -> list[DetDataSample]:
    """What a detector finds in chips of a training batch.

    Args:
        model: A detector, wrapped for several processes or not.
        inputs: (C, H, W) each, before the model's data preprocessor.
        samples: Of these chips.
        most: Predictions that are kept of a chip, the best.

    Returns:
        Copies of the samples, on the CPU, with ``pred_instances`` in the chip frame.
    """
    shown = [sample.new() for sample in samples]
    for sample in shown:  # or detectors map what they find to the image frame, but for the chip's place
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0), ori_shape=sample.img_shape))
    with undisturbed(model):
        found = model.val_step(dict(inputs=list(inputs), data_samples=shown))
    for sample, result in zip(shown, found, strict=True):
        predictions = result.pred_instances
        best = predictions.scores.argsort(descending=True)[:most]
        sample.pred_instances = predictions[best].to('cpu')
    return shown
