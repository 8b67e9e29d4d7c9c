"""BatchNormCalibrationHook: batch statistics of the size that is tested, once a training has ended."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import Runner, get_state_dict, save_checkpoint, weights_to_cpu
from torch import nn

from ..calibration import calibrate_on_chips, scale_of_test
from ..chips.scales import Scale, check_scales
from ..datasets import chip_sampler
from ..models.batch_norm import trained_batch_norms
from ..registry import HOOKS


@HOOKS.register_module()
class BatchNormCalibrationHook(Hook):
    """Writes ``calibrated.pth`` when a training on chips has ended: its weights, with batch norm for the test's zoom.

    Statistics are averaged exactly over training chips at that zoom. Where an ``EMAHook`` averages weights, they are
    those of the averaged ones, which are tested. ``mmsniper calibrate`` does the same for a checkpoint. Training's own
    checkpoints stay what they are, and a resumed run goes on from them.

    Args:
        chips: How many.
        scale: Zoom factor, or (long edge, short edge); 'test' = that of the test pipeline's ``Resize``; None = all of
            training's, as for a test at several scales.
        chip_size: Side of a chip in network pixels; None = the planner's, or less where images are smaller.

    Raises:
        ValueError: If ``chips`` is not a whole number > 0; at the start of a training, if the model has no batch norm,
            all of it is frozen, or the test pipeline has no ``Resize``; names the layers.
        TypeError: At the start of a training, if it is not on chips.
    """

    def __init__(self, chips: int = 512, scale: Scale | str | None = 'test', chip_size: int | None = None) -> None:
        if isinstance(chips, bool) or not isinstance(chips, int) or chips < 1:
            raise ValueError(f'chips is how many chips statistics are taken of, > 0; got {chips!r}')
        self.chips, self.chip_size = chips, chip_size
        self.scale = scale if scale in ('test', None) else check_scales([scale])[0]

    def before_train(self, runner: Runner) -> None:
        """Find out now what could not be done in the end."""
        if chip_sampler(runner.train_dataloader) is None:
            raise TypeError(
                'BatchNormCalibrationHook takes statistics of training chips, and the training loader has none; '
                '`mmsniper calibrate CONFIG CHECKPOINT` does so of whole images'
            )
        trained_batch_norms(_plain(runner.model))
        if self.scale == 'test':
            self.scale = scale_of_test(runner.cfg)
            if self.scale is None:
                raise ValueError(
                    "BatchNormCalibrationHook(scale='test'): the test pipeline has no Resize; write scale=1.5, or "
                    'scale=None for those of training'
                )

    def after_train(self, runner: Runner) -> None:
        """Calibrate a copy of the model, and write it."""
        averaged = next((hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)), None)
        model = copy.deepcopy(_plain(runner.model))
        if averaged is not None:
            model.load_state_dict(averaged.state_dict())
        # Every process has its share of the chips, whose statistics are added up in the end.
        model = revert_sync_batchnorm(model)
        loader = runner.train_dataloader
        batch_size = loader.batch_sampler.batch_size
        done = calibrate_on_chips(model, loader.dataset, self.scale, self.chips, batch_size, self.chip_size)
        if runner.rank == 0:
            path = Path(runner.work_dir) / 'calibrated.pth'
            meta = dict(dataset_meta=loader.dataset.metainfo, epoch=runner.epoch, iter=runner.iter, calibrated=done)
            meta.update(cfg=runner.cfg.pretty_text, experiment_name=runner.experiment_name, seed=runner.seed)
            save_checkpoint(dict(state_dict=weights_to_cpu(get_state_dict(model)), meta=meta), str(path))
            print_log(f'Wrote {path}: the same weights, to be tested', 'current')


def _plain(model: nn.Module) -> nn.Module:
    """A model without what makes it parallel."""
    return model.module if is_model_wrapper(model) else model
