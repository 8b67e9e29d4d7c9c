"""Batch norm for the size that is tested: training chips at the zoom of a test, and a detector's statistics of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from logging import WARNING
from typing import Any

import numpy as np
import torch
from mmdet.datasets import MultiImageMixDataset
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_reduce, get_dist_info
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .chips import ChipPlanner, scale_factor, scale_name
from .chips.scales import Scale
from .datasets import ChipDataset
from .datasets.seeding import seeded
from .inherit import pipelines
from .models.batch_norm import Calibrated, calibrate, shown
from .registry import type_name

# Chips are no smaller than this, nor padded to more than networks' strides want.
LEAST_SIDE, DIVISOR = 64, 32
# Side of a chip where a config has none, as in the paper.
CHIP_SIZE = 512


def scale_of_test(cfg: Config) -> Scale | None:
    """The scale of a config's test at one scale: of its test pipeline's ``Resize``; None if it has none.

    Args:
        cfg: A config.

    Raises:
        ValueError: If ``Resize`` changes the ratio of the sides, which chips keep.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    dataset = loader.get('dataset') or {}
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    for step in dataset.get('pipeline') or ():
        if type_name(step.get('type')) == 'Resize':
            edges, factor = step.get('scale'), step.get('scale_factor')
            if isinstance(edges, float):
                return edges
            if edges is not None:
                if not step.get('keep_ratio', False):
                    raise ValueError(
                        f"the test pipeline's Resize(scale={edges}) stretches images, and chips keep their ratio: "
                        'write keep_ratio=True'
                    )
                long, short = edges if isinstance(edges, (tuple, list)) else (edges, edges)
                return float(long), float(short)
            factors = factor if isinstance(factor, (tuple, list)) else [factor]
            if len({*factors}) > 1:
                raise ValueError(
                    f"the test pipeline's Resize(scale_factor={factor}) stretches images, and chips keep their ratio: "
                    'write one factor'
                )
            return float(factors[0])
    return None


def chips_of_images(cfg: Config) -> ChipDataset:
    """Chips of the training images of a config that trains on whole ones, loaded as it loads them.

    Args:
        cfg: The config.

    Raises:
        ValueError: If its images or annotations are loaded by other transforms than mmdet's usual ones; names these.
    """
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    steps = pipelines(dataset)
    loads = [
        next((step for step in steps if type_name(step.type) == name), None)
        for name in ('LoadImageFromFile', 'LoadAnnotations')
    ]
    if None in loads:
        kinds = ', '.join(str(step.type) for step in steps)
        raise ValueError(
            f'chips are cut from images and boxes that LoadImageFromFile and LoadAnnotations load, and the training '
            f'pipeline has {kinds}: say --train for its own batches'
        )
    if type_name(dataset.type) == 'MultiImageMixDataset':
        dataset = dataset.dataset
    cut = [dict(type='mmsniper.ChipSampler'), dict(type='RandomFlip', prob=0.5), dict(type='mmsniper.PackChipInputs')]
    planner = dict(scales=[1.0], valid_ranges=[(None, None)], chip_size=CHIP_SIZE, stride=DIVISOR)
    return ChipDataset(dataset, planner, [*loads, *cut])


def chips_at(dataset: ChipDataset, scale: Scale, chip_size: int | None = None) -> ChipDataset:
    """The same images, seen in chips of one scale that teaches objects of every size.

    Args:
        dataset: Of training chips; it is not changed.
        scale: The scale.
        chip_size: Side of a chip in network pixels; None = the planner's, or less where most images are smaller at this
            scale, whose chips would be padding for the most part.
    """
    given = dataset.planner
    if chip_size is None:
        shorter = [min(size) * scale_factor(scale, *size) for size in dataset.table.sizes.tolist()]
        chip_size = min(given.chip_size, max(int(np.median(shorter)) // DIVISOR * DIVISOR, LEAST_SIDE))
    chips = copy.copy(dataset)
    chips.planner = ChipPlanner([scale], [(None, None)], chip_size, min(given.stride, chip_size))
    chips.negatives, chips.assign, chips._planners = None, 'every_chip', {}
    chips.__dict__.pop('current_plan', None)
    chips._reported = True
    return chips


def chip_batches(dataset: Dataset, n_chips: int, batch_size: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Random training chips in batches, each process its share of them.

    Args:
        dataset: :class:`ChipDataset`, or what mixes its chips.
        n_chips: How many, of all processes together; all there are, if these are fewer. Each process has as many; a
            last batch that is not full is left out.
        batch_size: Chips per batch.
        seed: Of plan and draw.

    Raises:
        ValueError: If there are fewer than processes.
    """
    chips = dataset.dataset if isinstance(dataset, MultiImageMixDataset) else dataset
    plan = chips.plan(0, seed)
    rank, world_size = get_dist_info()
    drawn = np.random.default_rng((seed, 8)).permutation(len(plan))[:n_chips]
    if len(drawn) < world_size:
        raise ValueError(f'{len(drawn)} chips for {world_size} processes: take more, or fewer of these')
    drawn = drawn[: len(drawn) // world_size * world_size]  # as many batches each, or one would wait for the others
    keys = [plan.key(int(n)) for n in drawn[rank::world_size]]
    # A batch of a few would be normalized by noise.
    batches = [keys[n : n + batch_size] for n in range(0, len(keys), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < batch_size:
        batches.pop()
    yield from DataLoader(dataset, batch_sampler=batches, collate_fn=pseudo_collate)


def calibrate_on_chips(
    model: nn.Module, dataset: Dataset, scale: Scale | None, n_chips: int, batch_size: int, chip_size: int | None = None
) -> dict[str, Any]:
    """Give a detector the statistics of training chips at a scale.

    Args:
        model: The detector; see :func:`~mmsniper.models.batch_norm.calibrate`.
        dataset: Its training data: :class:`ChipDataset`, or what mixes its chips.
        scale: The scale; None = as in training, at all.
        n_chips: Of all processes together.
        batch_size: Chips per batch.
        chip_size: Side of a chip in network pixels; None = see :func:`chips_at`; the planner's, where chips are mixed.

    Returns:
        What was done, in plain types.
    """
    if scale is not None:
        mixed = isinstance(dataset, MultiImageMixDataset)
        if mixed and chip_size is None:  # Mosaic and MixUp are made for it
            chip_size = dataset.dataset.planner.chip_size
        chips = chips_at(dataset.dataset if mixed else dataset, scale, chip_size)
        if mixed:
            dataset = copy.copy(dataset)
            dataset.dataset = chips
        else:
            dataset = chips
        chip_size = chips.planner.chip_size
    with seeded(0):  # which anchors and proposals are sampled
        done = calibrate(model, chip_batches(dataset, n_chips, batch_size))
    report(done)
    n_samples = torch.tensor(done.n_samples)
    all_reduce(n_samples)
    at = 'the scales of training' if scale is None else f'scale {scale_name(scale)}, in chips of {chip_size} px'
    print_log(f'Batch norm has the statistics of {int(n_samples)} training chips at {at}', 'current')
    return dict(chips=int(n_samples), scale=scale, chip_size=chip_size)


def report(done: Calibrated) -> None:
    """Say which layers were left as they were."""
    for names, why in (done.frozen, 'are frozen'), (done.unused, 'were given nothing'):
        if names:
            print_log(f'{len(names)} layers of batch norm {why} and stay: {shown(names)}', 'current', WARNING)
