"""The search: plan the annotations by every candidate, keep the best."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..chips import BoxTable, ChipPlanner, resized_pixels
from ..chips.inference import inference_pyramid
from ..chips.scales import Scale
from .base import Base
from .candidates import ZOOMS, candidates
from .fingerprint import Fingerprint, object_sizes
from .memory import Memory, estimate
from .schedule import Schedule, make_schedule
from .score import Score, score_plan, score_single

# All candidates are planned on the first number of images, drawn at random, the best of them on the second.
FEW_IMAGES, MANY_IMAGES = 80, 2000
FINALISTS = 24
# A plan within the budget is taken if it shows at least so much of what the best one shows.
ENOUGH = 0.75
ABOUT = 1.1
# By less than this, scores are alike, and the simpler plan wins.
ALIKE = 0.01
# By less than this, chips are not worth the trouble.
WORTH_IT = 0.03
# A canvas beyond this does not go through a network in one piece.
LARGEST_CANVAS = 16e6


@dataclass(frozen=True)
class Suggestion:
    """What to train with, and why.

    Attributes:
        planner: Scales, ranges, chips.
        score: Of the plan.
        sample: The objects it was planned on, if not all.
        single: Score of whole images at the best single scale, plain mmdet.
        single_scale: That scale.
        usual: Score of whole images at the base's own single scale.
        single_pixels: Network pixels of that scale, per image.
        by_scales: Best score for each number of scales.
        over_budget: The budget holds for no plan that shows enough.
        n_tried: How many plans were tried.
        memory: Of a training step.
        schedule: Batch, epochs, learning rate.
    """

    planner: ChipPlanner
    score: Score
    sample: BoxTable = field(repr=False)
    single: Score
    single_scale: Scale
    usual: Score
    single_pixels: float
    by_scales: dict[int, tuple[ChipPlanner, Score]]
    over_budget: bool
    n_tried: int
    memory: Memory
    schedule: Schedule

    @property
    def test_ranges(self) -> NDArray[np.float64]:
        """What each scale answers for in a test, (S, 2) image pixels, open ends as 0 and inf."""
        return inference_pyramid(self.planner)[1]

    @property
    def helps(self) -> bool:
        """Whether chips do better than whole images at one scale would."""
        return self.score.total > self.single.total + WORTH_IT


def suggest(
    data: Fingerprint,
    base: Base,
    budget: float = 1.5,
    gpu_memory: float = 16,
    epochs: int | None = None,
    n_train: int | None = None,
) -> Suggestion:
    """Choose scales, ranges and a schedule for a data set.

    Args:
        data: The data set.
        base: The base config.
        budget: Most pixels of an epoch, against one pass over the images at the base's single scale.
        gpu_memory: Gigabytes of a GPU.
        epochs: As many, or None to choose.
        n_train: Images that will be trained on, if not all.
    """
    weights = data.weights()
    single_pixels = resized_pixels(data.table.sizes, [base.single_scale], base.divisor)

    def scored(planner: ChipPlanner, rows: NDArray[np.int64]) -> Score:
        table, own = take(data.table, weights, rows)
        pixels = resized_pixels(table.sizes, [base.single_scale], base.divisor)
        return score_plan(planner, table, own, base.anchors, pixels, base.divisor)

    few, many = sample(data.table, FEW_IMAGES), sample(data.table, MANY_IMAGES)
    tried = [(planner, scored(planner, few)) for planner in candidates(data.table, base)]
    finalists = best_of_each(tried, budget)
    final = [(planner, scored(planner, many)) for planner in finalists]
    most = max(score.comfort for _, score in final)
    enough = [pair for pair in final if pair[1].comfort >= ENOUGH * most]
    # Where the budget is too small for all that show enough, those that cost about as little as any.
    least = min(score.pixels for _, score in enough)
    over_budget = least > budget
    limit = ABOUT * least if over_budget else budget
    pool = [pair for pair in enough if pair[1].pixels <= limit]
    by_scales = {}
    for planner, score in pool:
        n = len(planner.scales)
        if n not in by_scales or score.total > by_scales[n][1].total:
            by_scales[n] = planner, score
    top = max(score.total for _, score in by_scales.values())
    planner, score = next(by_scales[n] for n in sorted(by_scales) if by_scales[n][1].total >= top - ALIKE)
    table = data.table if len(many) == len(data) else take(data.table, weights, many)[0]
    single_scale, single, usual = best_single(data, base, single_pixels)
    memory = estimate(base.cfg, planner.chip_size)
    chips = score.chips_per_image * (n_train or len(data))
    schedule = make_schedule(base, chips, planner.chip_size, memory.batch(gpu_memory), epochs)
    return Suggestion(
        planner, score, table, single, single_scale, usual, single_pixels, by_scales,
        over_budget, len(tried), memory, schedule,
    )  # fmt: skip


def best_of_each(tried: list[tuple[ChipPlanner, Score]], budget: float) -> list[ChipPlanner]:
    """The candidates of highest score, some of them within the budget, some of each number of scales."""
    ranked = sorted(tried, key=lambda pair: -pair[1].total)
    kept: dict[int, ChipPlanner] = {}
    for group in (ranked, [pair for pair in ranked if pair[1].pixels <= budget]):
        for n_scales in sorted({len(planner.scales) for planner, _ in ranked}):
            own = [planner for planner, _ in group if len(planner.scales) == n_scales]
            kept.update((id(planner), planner) for planner in own[: FINALISTS // 8])
        kept.update((id(planner), planner) for planner, _ in group[: FINALISTS // 2])
    return list(kept.values())


def best_single(data: Fingerprint, base: Base, single_pixels: float) -> tuple[Scale, Score, Score]:
    """The best scale for whole images, its score, and that of the base's own scale."""
    table, weights = take(data.table, data.weights(), sample(data.table, MANY_IMAGES))
    sizes = object_sizes(table)

    def scored(scale: Scale) -> Score:
        return score_single(scale, table, sizes, weights, base.anchors, single_pixels, base.divisor)

    usual = scored(base.single_scale)
    tried: list[Scale] = [zoom for zoom in ZOOMS if (table.sizes.prod(1) * zoom**2).max() <= LARGEST_CANVAS]
    tried += [(float(times * base.chip_size),) * 2 for times in (0.75, 1, 1.5, 2, 3)]
    scores = {scale: scored(scale) for scale in tried}
    best = max(scores, key=lambda scale: scores[scale].total)
    if scores[best].total <= usual.total + ALIKE:
        return base.single_scale, usual, usual
    return best, scores[best], usual


def sample(table: BoxTable, most: int) -> NDArray[np.int64]:
    """Rows of up to so many images, ascending; with objects first, as far as there are."""
    if len(table) <= most:
        return np.arange(len(table))
    return np.sort(np.random.default_rng(0).permutation(len(table))[:most])


def take(
    table: BoxTable, weights: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[BoxTable, NDArray[np.float64]]:
    """Some images of a table, and the weights of their objects, in sum 1."""
    if len(rows) == len(table):
        return table, weights
    counts = np.diff(table.start)[rows]
    start = np.concatenate([[0], np.cumsum(counts)])
    of_image = np.arange(start[-1]) - np.repeat(start[:-1] - table.start[rows], counts)
    own = weights[of_image]
    return BoxTable(table.bboxes[of_image], start, table.sizes[rows]), own / max(own.sum(), 1e-12)
