"""The search: plan the annotations by every candidate, keep the best."""

from __future__ import annotations

from collections.abc import Iterable
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
# On few objects, or none, all plans look alike: there are so many, or as many as so many images have.
LEAST_OBJECTS, MOST_IMAGES = 300, 20_000
BEST, BEST_OF_EACH = 12, 3
# A plan within the budget is taken if it shows at least so much of what the best one shows.
ENOUGH = 0.75
# By less than this, scores are alike, and the cheaper plan wins.
ALIKE = 0.01
# By less than this, chips are not worth the trouble.
WORTH_IT = 0.03
# A canvas beyond this does not go through a network in one piece.
LARGEST_CANVAS = 16e6

Scored = tuple[ChipPlanner, Score]


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
        by_scales: The best for each number of scales; for that of the planner, the planner.
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

    def scored(planners: Iterable[ChipPlanner], table: BoxTable, own: NDArray[np.float64]) -> list[Scored]:
        pixels = resized_pixels(table.sizes, [base.single_scale], base.divisor)
        args = table, own, base.anchors, pixels, base.divisor
        return [(planner, score_plan(planner, *args)) for planner in planners]

    tried = scored(candidates(data.table, base), *take(data.table, weights, sample(data.table, FEW_IMAGES)))
    table, own = take(data.table, weights, sample(data.table, MANY_IMAGES))
    final = scored(finalists(tried), table, own)
    most = max(score.comfort for _, score in final)
    enough = [pair for pair in final if pair[1].comfort >= ENOUGH * most]
    # Where the budget is too small for all that show enough, the least that it takes. Up to here nothing depends on the
    # budget, and beyond the cheapest of what is alike is taken: with a larger budget no plan becomes cheaper.
    least = min(score.pixels for _, score in enough)
    pool = [pair for pair in enough if pair[1].pixels <= max(budget, least)]
    by_scales: dict[int, Scored] = {}
    for pair in sorted(pool, key=lambda pair: -pair[1].total):
        by_scales.setdefault(len(pair[0].scales), pair)
    top = max(score.total for _, score in pool)
    alike = [pair for pair in pool if pair[1].total >= top - ALIKE]
    planner, score = min(alike, key=lambda pair: (pair[1].pixels, len(pair[0].scales)))
    by_scales[len(planner.scales)] = planner, score
    single_scale, single, usual = best_single(table, own, base, single_pixels)
    memory = estimate(base.cfg, planner.chip_size)
    chips = score.chips_per_image * (n_train or len(data))
    schedule = make_schedule(base, chips, planner.chip_size, memory.batch(gpu_memory), epochs)
    return Suggestion(
        planner, score, table, single, single_scale, usual, single_pixels, by_scales,
        least > budget, len(tried), memory, schedule,
    )  # fmt: skip


def finalists(tried: list[Scored]) -> list[ChipPlanner]:
    """The candidates of highest score: of all, of each number of scales, and of each price."""
    ranked = sorted(tried, key=lambda pair: -pair[1].total)
    kept = ranked[:BEST]
    for n_scales in {len(planner.scales) for planner, _ in ranked}:
        kept += [pair for pair in ranked if len(pair[0].scales) == n_scales][:BEST_OF_EACH]
    least = float('inf')
    for pair in ranked:  # none that scores higher costs less
        if pair[1].pixels < least:
            least = pair[1].pixels
            kept.append(pair)
    return list({id(planner): planner for planner, _ in kept}.values())


def best_single(
    table: BoxTable, weights: NDArray[np.float64], base: Base, single_pixels: float
) -> tuple[Scale, Score, Score]:
    """The best scale for whole images, its score, and that of the base's own scale."""
    sizes = object_sizes(table)

    def scored(scale: Scale) -> Score:
        return score_single(scale, table, sizes, weights, base.anchors, single_pixels, base.divisor)

    usual = scored(base.single_scale)
    tried: list[Scale] = [zoom for zoom in ZOOMS if (table.sizes.prod(1) * zoom**2).max() <= LARGEST_CANVAS]
    tried += [(float(times * base.chip_size),) * 2 for times in (0.75, 1, 1.5, 2, 3)]
    scores = {scale: scored(scale) for scale in tried}
    # Where little can be seen at any scale, the cheapest would win by its pixels alone.
    most = max(score.comfort for score in scores.values())
    best = max((s for s in scores if scores[s].comfort >= ENOUGH * most), key=lambda scale: scores[scale].total)
    if usual.comfort >= ENOUGH * most and scores[best].total <= usual.total + ALIKE:
        return base.single_scale, usual, usual
    return best, scores[best], usual


def sample(table: BoxTable, most: int) -> NDArray[np.int64]:
    """Rows of some images, drawn at random but always the same, ascending.

    Args:
        table: All images.
        most: As many, or more where these have fewer than ``LEAST_OBJECTS``; ``MOST_IMAGES`` then, but for one that
            has objects.
    """
    if len(table) <= most:
        return np.arange(len(table))
    order = np.random.default_rng(0).permutation(len(table))
    objects = np.cumsum(np.diff(table.start)[order])
    first, enough = np.searchsorted(objects, [1, min(LEAST_OBJECTS, objects[-1])]) + 1
    return np.sort(order[: max(most, min(enough, MOST_IMAGES), first)])


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
