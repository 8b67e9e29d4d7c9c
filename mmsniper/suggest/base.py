"""What a base config fixes: its anchors, chips, batch, schedule and the single scale it tests at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from numpy.typing import NDArray

from ..calibration import scale_of_test
from ..chips.pixels import SINGLE_SCALE
from ..chips.scales import Scale
from ..configs import config_beside, find_config
from ..registry import chip_dataset_of, type_name


@dataclass(frozen=True)
class Base:
    """A base config, and what a plan must fit to.

    Attributes:
        path: Of the config.
        cfg: The config.
        chip_size: Side of its chips, network pixels.
        stride: Stride of their grid.
        anchors: (A,) float64, sqrt(area) of its anchors, ascending, network pixels; for a detector without, the sizes
            that its strides suit.
        batch_size: Its chips per GPU.
        lr: Its learning rate.
        lr_batch: The batch that rate is for.
        epochs: Its epochs.
        single_scale: What its test pipeline resizes to.
        divisor: Canvases are padded to a multiple of it.
        with_masks: It learns masks, so every object needs one.
        rpn: Config of the RPN that mines its negative chips; None if it has none.
    """

    path: str
    cfg: Config = field(repr=False)
    chip_size: int
    stride: float
    anchors: NDArray[np.float64]
    batch_size: int
    lr: float
    lr_batch: int
    epochs: int
    single_scale: Scale
    divisor: int
    with_masks: bool
    rpn: Config | None = field(repr=False)


def read_base(path: str) -> Base:
    """Read a training config whose data are chips.

    Args:
        path: Its path, or the name of one of ours.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has no ``mmsniper.ChipDataset``, or one of whole images, or its test stretches images.
    """
    path = find_config(path)
    cfg = Config.fromfile(path)
    chips = chip_dataset_of(cfg)
    if chips is None:
        raise ValueError(
            f'{cfg.filename} trains on no chips: train_dataloader.dataset holds no mmsniper.ChipDataset; give a config '
            'of configs/sniper or configs/demo as --base'
        )
    planner = chips.planner
    if type_name(planner.get('type', 'ChipPlanner')) != 'ChipPlanner':
        raise ValueError(
            f'{cfg.filename} trains on whole images ({planner.type}), for which there are no chips to suggest; give a '
            'config of configs/sniper as --base'
        )
    batch_size = cfg.train_dataloader.batch_size
    return Base(
        path=str(path),
        cfg=cfg,
        chip_size=int(planner.get('chip_size', 512)),
        stride=float(planner.get('stride', 32)),
        anchors=anchor_sizes(cfg.model),
        batch_size=batch_size,
        lr=cfg.optim_wrapper.optimizer.lr,
        lr_batch=cfg.get('auto_scale_lr', {}).get('base_batch_size', batch_size),
        epochs=cfg.train_cfg.get('max_epochs', 7),
        single_scale=scale_of_test(cfg) or SINGLE_SCALE,
        divisor=cfg.model.data_preprocessor.get('pad_size_divisor', 1),
        with_masks=any(step.get('with_mask') for step in chips.pipeline),
        rpn=Config.fromfile(config_beside(cfg.rpn_config, path)) if chips.get('negatives') else None,
    )


def anchor_sizes(model: dict) -> NDArray[np.float64]:
    """Sizes that a detector's priors are made for, (A,) ascending."""
    head = model.get('rpn_head') or model.get('bbox_head') or {}
    if isinstance(head, dict) and 'anchor_generator' in head:
        with DefaultScope.overwrite_default_scope('mmdet'):
            generator = TASK_UTILS.build(head['anchor_generator'])
        return np.unique(np.outer(generator.base_sizes, generator.scales.numpy()).round(3)).astype(np.float64)
    # Without anchors, FCOS gives a level the objects of four to eight times its stride.
    strides = head.get('strides', (8, 16, 32, 64, 128)) if isinstance(head, dict) else (8, 16, 32, 64, 128)
    return np.unique(np.outer(strides, (4.0, 8.0)))
