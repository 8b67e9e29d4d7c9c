"""The numbers of a report: what a plan shows of a data set, and what that costs. Plain types, as JSON has them.

Shapes: I images, T objects, N chips, P pairs of a chip and an object that it shows, S scales.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..chips import (
    INVALID,
    VALID,
    BoxTable,
    ChipKind,
    ChipPlan,
    ChipPlanner,
    PlanLabels,
    PyramidPlanner,
    box_sizes,
    chip_pixels,
    resized_pixels,
    scale_factor,
    scale_name,
)
from ..chips.labels import IGNORED
from ..chips.pixels import SINGLE_SCALE
from ..chips.scales import MIN_USABLE_SIDE
from ..datasets import ChipDataset
from ..datasets.transforms import ChipSampler
from ..version import __version__
from .bins import quantiles, size_counts, size_edges, whole_bins
from .findings import find

# What COCO's detectors are trained at where they see several sizes.
MULTI_SCALE = [(1333, short) for short in (640, 672, 704, 736, 768, 800)]
MOST_IMAGES = 10
# Fewer network pixels than this teach little; the finest level of an FPN has a stride of 4.
FEW_PIXELS = 16


def report_numbers(dataset: ChipDataset, plan: ChipPlan, divisor: int = 32, **about: object) -> dict:
    """All numbers of a report.

    Args:
        dataset: Made the plan.
        plan: Of one epoch.
        divisor: Sides of samples are padded to a multiple of this, as by the model's data preprocessor.
        **about: What the page says besides: config (its name), epoch, seed, mixed (whether samples are mixed of chips).

    Returns:
        Numbers by section, and ``findings``: what is wrong or may be better, with the remedy.
    """
    table, planner = dataset.table, dataset.planner
    sampler = dataset.pipeline.sampler or ChipSampler()
    labels = PlanLabels.of_plan(planner, table, plan, sampler.min_visible, sampler.min_side)
    numbers = dict(
        about=dict(about, mmsniper=__version__, planner=repr(planner), classes=len(dataset.classes)),
        data=data_numbers(dataset),
        chips=chip_numbers(plan, len(table)),
        scales=scale_numbers(planner, plan, labels, len(table)),
        pixels=pixel_numbers(planner, table, plan, divisor),
        objects_per_chip=crowding(plan, labels),
        times_valid=times_valid(table, labels),
        labels=label_shares(labels, sampler),
        sizes=size_numbers(planner, plan, table, labels),
        negatives=negative_numbers(dataset, plan),
        most_chips=images_with_most_chips(dataset, plan),
    )
    ann_file = str(getattr(dataset.dataset, 'ann_file', 'ANNOTATIONS.json'))
    numbers['findings'] = find(numbers, planner.settings, ann_file)
    return numbers


def data_numbers(dataset: ChipDataset) -> dict:
    """Images, objects, ignored regions, sizes of images in pixels."""
    table = dataset.table
    by_area = table.sizes[np.argsort(table.sizes.prod(1), kind='stable')]
    unusable, unreachable = table.count_unlearnt(dataset.planner)
    return dict(
        images=len(table),
        without_objects=int((np.diff(table.start) == 0).sum()),
        objects=len(table.bboxes),
        ignored_regions=dataset.n_regions,
        under_2px=unusable,
        larger_than_a_chip=unreachable,
        smallest_image=by_area[0].tolist(),
        median_image=by_area[len(by_area) // 2].tolist(),
        largest_image=by_area[-1].tolist(),
    )


def chip_numbers(plan: ChipPlan, n_images: int) -> dict:
    """How many chips there are, of each kind and per image."""
    per_image = np.bincount(plan.image_idx, minlength=n_images)
    return dict(
        total=len(plan),
        per_image=len(plan) / n_images,
        most=int(per_image.max(initial=0)),
        kinds=_kinds(plan.kind),
        images=whole_bins(per_image),
    )


def scale_numbers(planner: ChipPlanner, plan: ChipPlan, labels: PlanLabels, n_images: int) -> list[dict]:
    """The same of each scale, with the zooms it means and how many objects it shows as valid."""
    valid = np.bincount(plan.chips.scale_idx[labels.chip[labels.label == VALID]], minlength=len(planner.scales))
    scales = []
    for s, (scale, (low, high)) in enumerate(zip(planner.scales, planner.valid_ranges.tolist(), strict=True)):
        mine = plan.chips.scale_idx == s
        n = int(mine.sum())
        scales.append(
            dict(
                name=scale_name(scale),
                range=[low, None if high == np.inf else high],
                chips=n,
                per_image=n / n_images,
                share=n / max(len(plan), 1),
                kinds=_kinds(plan.kind[mine]),
                zoom=quantiles(plan.chips.scale[mine]),
                valid_per_chip=int(valid[s]) / max(n, 1),
                images=whole_bins(np.bincount(plan.image_idx[mine], minlength=n_images)),
            )
        )
    return scales


def pixel_numbers(planner: ChipPlanner, table: BoxTable, plan: ChipPlan, divisor: int) -> list[dict]:
    """Samples and network pixels per image and epoch, padding included: this plan's, and what others would cost."""
    n_images = len(table)
    whole = PyramidPlanner(planner.settings['scales'], planner.settings['valid_ranges'])
    pyramid = whole.positive_of_images(table.bboxes, table.start, table.sizes, seed=0)[1]
    recipes = {
        'this config': (len(plan), chip_pixels(planner, plan.chips, divisor)),
        'single scale, 800 x 1333': (n_images, n_images * resized_pixels(table.sizes, [SINGLE_SCALE], divisor)),
        'plain multi-scale, 640 to 800 x 1333': (
            n_images,
            n_images * resized_pixels(table.sizes, MULTI_SCALE, divisor),
        ),
        'images as they are': (n_images, n_images * resized_pixels(table.sizes, [1.0], divisor)),
        'SNIP: whole images at these scales': (len(pyramid), chip_pixels(whole, pyramid, divisor)),
    }
    single = recipes['single scale, 800 x 1333'][1]
    return [
        dict(
            recipe=name,
            samples_per_image=samples / n_images,
            pixels_per_image=pixels / n_images,
            of_single_scale=pixels / single,
        )
        for name, (samples, pixels) in recipes.items()
    ]


def crowding(plan: ChipPlan, labels: PlanLabels) -> dict:
    """Objects in a chip, those that are valid there and all that can be seen."""
    valid = np.bincount(labels.chip[labels.label == VALID], minlength=len(plan))
    shown = np.bincount(labels.chip, minlength=len(plan))
    return dict(
        valid_mean=float(valid.sum() / max(len(plan), 1)),
        shown_mean=float(shown.sum() / max(len(plan), 1)),
        without_valid=int((valid == 0).sum()),
        share_without_valid=float((valid == 0).sum() / max(len(plan), 1)),
        valid=whole_bins(valid),
        shown=whole_bins(shown),
    )


def times_valid(table: BoxTable, labels: PlanLabels) -> dict:
    """In how many chips an object is valid: shares of 0, 1, 2, and 3 or more; the same by its size in the image."""
    boxes = table.inside()
    sizes = box_sizes(boxes)
    times = np.minimum(labels.times_valid, 3)
    counts = np.bincount(times, minlength=4)
    never = times == 0
    thin = never & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < MIN_USABLE_SIDE)
    edges = size_edges(sizes, per_octave=1)
    by_size = np.stack([size_counts(sizes[times == n], edges) for n in range(4)], axis=1)
    return dict(
        counts=counts.tolist(),
        shares=(counts / max(len(times), 1)).tolist(),
        mean=float(labels.times_valid.mean()) if len(times) else 0.0,
        never_thin=int(thin.sum()),
        never_large=int((never & ~thin).sum()),
        by_size=dict(edges=edges, counts=by_size.tolist()),
    )


def label_shares(labels: PlanLabels, sampler: ChipSampler) -> dict:
    """What chips show of objects, as shares of all that they show; an object counts once per chip."""
    n, cut = max(len(labels.chip), 1), labels.visible < 1 - 1e-9
    valid = labels.label == VALID
    return dict(
        shown=len(labels.chip),
        valid=float(valid.sum() / n),
        invalid=float((labels.label == INVALID).sum() / n),
        ignored=float((labels.label == IGNORED).sum() / n),
        truncated=float(cut.sum() / n),
        truncated_of_valid=float((cut & valid).sum() / max(valid.sum(), 1)),
        min_visible=sampler.min_visible,
        min_side=sampler.min_side,
    )


def size_numbers(planner: ChipPlanner, plan: ChipPlan, table: BoxTable, labels: PlanLabels) -> dict:
    """Sizes of objects in network pixels, sqrt(area): with one scale for all images, and as valid objects of chips."""
    image_sizes, inverse = np.unique(table.sizes, axis=0, return_inverse=True)
    factors = np.array([scale_factor(SINGLE_SCALE, *size) for size in image_sizes.tolist()])[inverse.reshape(-1)]
    in_image = box_sizes(table.inside())
    before = in_image * np.repeat(factors, np.diff(table.start))
    valid = labels.label == VALID
    after, scale_idx = labels.size[valid], plan.chips.scale_idx[labels.chip[valid]]
    largest = np.zeros(len(table.bboxes))
    np.maximum.at(largest, labels.box[valid], after)
    seen = largest[largest > 0]
    edges = size_edges(before, after)
    return dict(
        edges=edges,
        before=size_counts(before, edges),
        after=[size_counts(after[scale_idx == s], edges) for s in range(len(planner.scales))],
        in_image=quantiles(in_image),
        single_scale=quantiles(before),
        on_chips=quantiles(after),
        few_pixels=FEW_PIXELS,
        share_few_before=float((before < FEW_PIXELS).mean()) if len(before) else 0.0,
        share_few_after=float((seen < FEW_PIXELS).mean()) if len(seen) else 0.0,
    )


def negative_numbers(dataset: ChipDataset, plan: ChipPlan) -> dict | None:
    """What there is of negative chips, and how many of them this epoch has; None without them."""
    if dataset.negatives is None:
        return None
    per_image = np.diff(dataset.negatives.table.start)
    return dict(
        file=Path(dataset.negatives.ann_file).name,
        in_pool=int(per_image.sum()),
        per_image=float(per_image.mean()),
        images_without=int((per_image == 0).sum()),
        images_not_mined=int((dataset.negatives.rows < 0).sum()),
        drawn=int((plan.kind == ChipKind.NEGATIVE).sum()),
        most_drawn_per_image=dataset.negatives.per_image,
        pool=whole_bins(per_image),
    )


def images_with_most_chips(dataset: ChipDataset, plan: ChipPlan) -> list[dict]:
    """The images that most chips come from, most first."""
    n_scales = len(dataset.planner.scales)
    per_image = np.bincount(plan.image_idx, minlength=len(dataset.table))
    images = []
    for idx in np.argsort(-per_image, kind='stable')[:MOST_IMAGES].tolist():
        path = dataset.dataset.get_data_info(idx).get('img_path', f'image {idx}')
        bboxes, size = dataset.table.image(idx)
        by_scale = np.bincount(plan.chips.scale_idx[plan.image_idx == idx], minlength=n_scales)
        images.append(
            dict(
                idx=idx,
                image=Path(path).name,
                size=list(size),
                objects=len(bboxes),
                chips=int(per_image[idx]),
                by_scale=by_scale.tolist(),
            )
        )
    return images


def _kinds(kind: NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(kind, minlength=len(ChipKind))
    return {each.name.lower(): int(counts[each]) for each in ChipKind}
