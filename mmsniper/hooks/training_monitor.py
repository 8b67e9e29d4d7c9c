"""ChipMonitorHook: what a training is shown, and what it makes of it, in numbers and pictures."""

from __future__ import annotations

from logging import WARNING
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor

from ..datasets import chip_sampler
from ..datasets.boxes import classes_of
from ..registry import HOOKS
from ..visualization import chip_legend, chip_title, draw_chip, grid, scale_colour, titled, with_legend
from .chip_counts import ChipCounts
from .undisturbed import predict_chips

# Predictions drawn in a chip, and the width of a picture.
MOST_DRAWN, WIDTH = 20, 2600


@HOOKS.register_module()
class ChipMonitorHook(Hook):
    """Logs what a training is shown and how its heads label that, and draws a batch with labels and predictions.

    All goes to the runner's visualizer, so to whatever ``vis_backends`` it has (files, TensorBoard, W&B), and the
    numbers to the message hub, too; the log's lines stay as they are, but for one per epoch. Numbers are of all
    processes together:

    - ``chips/scale_X``: share of the chips that are of a scale; ``chips/valid``, ``chips/invalid``, ``chips/ignored``:
      valid and invalid objects and ignored regions per chip; ``chips/without_valid``: share of chips that have no valid
      object;
    - ``chips/rpn_positives``, ``chips/roi_positives`` (of a cascade ``chips/roi_s0_positives``, ...; of a one-stage
      head ``chips/bbox_positives``): priors per chip that train as objects; ``chips/rpn_left_out``, ...: share of
      priors that are neither object nor background. A head whose labels no sampler sees is not counted.

    Pictures, ``train_chips``, are of chips of the main process: their labels, and below the predictions. To predict
    them costs about as much as a step; the training goes on as if nothing had been: losses are bitwise the same with
    and without this hook.

    Args:
        interval: Iterations between two records of numbers. None = as the ``LoggerHook``; 0 = no numbers.
        draw_interval: Iterations between two pictures. There is one of the first and last, too. 0 = no pictures.
        max_chips: Chips in a picture, at most.
        score_thr: Only predictions with a higher score are drawn, and the best 20 of a chip.

    Raises:
        ValueError: If a number is out of bounds.
    """

    priority = 'NORMAL'

    def __init__(
        self, interval: int | None = None, draw_interval: int = 1000, max_chips: int = 8, score_thr: float = 0.3
    ) -> None:
        if interval is not None and interval < 0:
            raise ValueError(f'interval is a number of iterations, 0 = no numbers, or None; got {interval!r}')
        if draw_interval < 0 or max_chips < 1:
            raise ValueError(
                f'draw_interval is a number of iterations, 0 = no pictures, and max_chips one of chips, >= 1; got '
                f'{draw_interval!r}, {max_chips!r}'
            )
        self.interval = interval
        self.draw_interval = draw_interval
        self.max_chips = max_chips
        self.score_thr = score_thr
        self.counts: ChipCounts | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin to count."""
        sampler = chip_sampler(runner.train_dataloader)
        self.scales = sampler.dataset.planner.scales if sampler else ()
        loggers = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.every = (loggers or [50])[0] if self.interval is None else self.interval
        self.counts = ChipCounts(runner.model, self.scales) if self.every else None
        self.first_iter, self.predicts = runner.iter, True
        self.of_epoch: Tensor | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Count the batch; log and draw if it is time."""
        if self.counts is not None:
            self.counts.add(data_batch['data_samples'])
            if self.every_n_inner_iters(batch_idx, self.every):
                self._log(runner, runner.iter + 1)
        last = runner.iter + 1 == runner.max_iters
        if self.draw_interval and (
            runner.iter == self.first_iter or last or self.every_n_train_iters(runner, self.draw_interval)
        ):
            self._draw(runner, data_batch)

    def after_train_epoch(self, runner: Runner) -> None:
        """Record the last iterations, and say in a line what the epoch was."""
        if self.counts is not None:
            self._log(runner, runner.iter)
            if said := self.counts.describe(self.of_epoch):
                print_log(f'Epoch {runner.epoch + 1}: {said}', 'current')
            self.of_epoch = None

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was."""
        if self.counts is not None:
            self.counts.labels.stop()

    def _log(self, runner: Runner, step: int) -> None:
        sums = self.counts.take()
        self.of_epoch = sums if self.of_epoch is None else self.of_epoch + sums
        scalars = self.counts.scalars(sums)
        for name, value in scalars.items():  # not as train/..., which all stand in each line of the log
            runner.message_hub.update_scalar(name, value)
        if scalars:
            runner.visualizer.add_scalars(scalars, step=step)

    def _draw(self, runner: Runner, data_batch: dict) -> None:
        inputs, samples = (data_batch[key][: self.max_chips] for key in ('inputs', 'data_samples'))
        if self.predicts:
            try:  # in all processes: of a model that is spread over them, none can predict alone
                samples = predict_chips(runner.model, inputs, samples, MOST_DRAWN)
            except Exception as error:  # a picture is not worth a training
                self.predicts = False
                print_log(
                    f'ChipMonitorHook: predictions are not drawn, since the detector fails on training chips, as it '
                    f'may in validation: {type(error).__name__}: {error}',
                    'current',
                    WARNING,
                )
        if is_main_process():
            classes = classes_of(runner.train_dataloader.dataset)
            tiles = [self._tile(chip, sample, classes) for chip, sample in zip(inputs, samples, strict=True)]
            picture = with_legend(grid(tiles, WIDTH), chip_legend(predictions=self.predicts))
            runner.visualizer.add_image('train_chips', np.ascontiguousarray(picture[..., ::-1]), step=runner.iter + 1)

    def _tile(self, chip: Tensor, sample: DetDataSample, classes: tuple[str, ...]) -> np.ndarray:
        """A chip with its labels, and under it with its predictions: of a young network these hide the former."""
        shown = [sample.new()]
        if 'pred_instances' in sample:
            labels, found = shown[0], sample.new()
            del labels.pred_instances
            found.gt_instances, found.ignored_instances = sample.gt_instances[:0], InstanceData()
            shown.append(found)
        tile = np.vstack([draw_chip(chip, part, classes, self.score_thr) for part in shown])
        if not self.scales or 'scale_idx' not in sample:
            return titled(tile, '', (225, 225, 225))
        return titled(tile, chip_title(sample, self.scales), scale_colour(sample.scale_idx))
