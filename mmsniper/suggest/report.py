"""A suggestion in words: the fingerprint, the plan and the reasons, for a terminal, and as numbers for programs."""

from __future__ import annotations

import textwrap

import numpy as np

from ..chips import ChipPlanner, scale_name
from .advice import advice, in_words
from .base import Base
from .fingerprint import Fingerprint, summary
from .score import PIXELS, Score
from .suggestion import ALIKE, Suggestion

WIDTH = 96
SHOWN_CLASSES = 8


def as_dict(data: Fingerprint, base: Base, found: Suggestion) -> dict:
    """Everything a suggestion says, in types that JSON knows."""
    schedule = found.schedule
    return dict(
        fingerprint=summary(data, found.planner.chip_size),
        base=base.path,
        plan=dict(
            **found.planner.settings,
            test_ranges=[[low, None if high == np.inf else high] for low, high in found.test_ranges.tolist()],
            single_scale=found.single_scale,
            score=numbers(found.score),
        ),
        whole_images=dict(best=numbers(found.single), usual=numbers(found.usual)),
        by_number_of_scales={
            n: dict(**planner.settings, score=numbers(score)) for n, (planner, score) in sorted(found.by_scales.items())
        },
        plans_tried=found.n_tried,
        images_planned=len(found.sample),
        over_budget=found.over_budget,
        helps=found.helps,
        schedule=dict(
            batch_size=schedule.batch_size,
            epochs=schedule.epochs,
            steps_per_epoch=schedule.steps_per_epoch,
            val_interval=schedule.val_interval,
            lr=schedule.lr,
            gigabytes=round(found.memory.gigabytes(schedule.batch_size), 2),
        ),
        advice=advice(data, base, found),
    )


def numbers(score: Score) -> dict:
    """A score without its arrays."""
    fields = {name: value for name, value in vars(score).items() if name != 'sizes'}
    return {
        name: [round(v, 4) for v in value] if isinstance(value, list) else round(float(value), 4)
        for name, value in fields.items()
    }


def report(data: Fingerprint, base: Base, found: Suggestion, notes: list[str]) -> str:
    """Fingerprint, plan, reasons, advice and other notes as text of 96 columns."""
    parts = [
        'DATA',
        *data_lines(data, found),
        '',
        'PLAN',
        *plan_lines(base, found),
        '',
        'WHY',
        *why_lines(data, base, found),
    ]
    if said := [*advice(data, base, found), *notes]:
        parts += ['', 'NOTE', *(line for text in said for line in wrapped(text))]
    return '\n'.join(parts)


def wrapped(text: str) -> list[str]:
    """A point of a list, in lines."""
    return textwrap.wrap(text, WIDTH, initial_indent='  - ', subsequent_indent='    ', break_on_hyphens=False)


def row(name: str, text: str) -> list[str]:
    """A named line, or several."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=f'  {name:<14}', subsequent_indent=' ' * 16, break_on_hyphens=False
    )


def data_lines(data: Fingerprint, found: Suggestion) -> list[str]:
    """The fingerprint."""
    of = summary(data, found.planner.chip_size)
    many = of['n_image_sizes'] > 1
    shapes = ', '.join(f'{w} x {h} ({n})' if many else f'{w} x {h}' for w, h, n in of['image_sizes'][:3])
    if of['n_image_sizes'] > 3:
        shapes += f' and {of["n_image_sizes"] - 3} other sizes; {quantiles_in_words(of["image_side"])} px as sqrt(area)'
    counts = sorted(of['classes'].items(), key=lambda item: -item[1])
    classes = ', '.join(f'{name} {n}' for name, n in counts[:SHOWN_CLASSES])
    if len(counts) > SHOWN_CLASSES:
        classes += f' and {len(counts) - SHOWN_CLASSES} more, the rarest {counts[-1][0]} with {counts[-1][1]}'
    per_image = of['per_image']
    regions = f'{of["regions"]} crowds and ignored regions' if of['regions'] else 'none'
    if of['region_classes']:
        regions += f', {", ".join(map(repr, of["region_classes"]))} among them by the name: not a class to learn'
    left_out = '; '.join(f'{n} annotations: {why}' for why, n in of['left_out'].items())
    lines = [
        *row('images', f'{of["images"]}, {of["images_without_objects"]} of them without objects; {shapes}'),
        *row('objects', f'{of["objects"]} of {len(counts)} classes: {classes}'),
        *row('sizes', f'{quantiles_in_words(of["object_size"])} px, as sqrt(width * height)'),
        *row('of the image', f'{quantiles_in_words(of["object_share_of_image"], 100)} % of its side'),
        *row(
            'shape',
            f'long side / short side: median {of["aspect"]["median"]:.1f}, 5 % beyond {of["aspect"]["q95"]:.1f}',
        ),
        *row(
            'density',
            f'{per_image["mean"]:.1f} per image (median {per_image["median"]:.0f}, most {per_image["max"]:.0f}), '
            f'{of["per_megapixel"]:.1f} per megapixel; {of["crowded"]:.1%} overlap another by an IoU of 0.3 or more',
        ),
        *row('too large', f'{of["longer_than_chip"]:.1%} longer than a chip of {found.planner.chip_size} px at zoom 1'),
        *row('ignored', regions),
    ]
    if of['too_thin']:
        lines += row('too small', f'{of["too_thin"]} objects have a side under 2 px; no chip is planned for them')
    return lines + (row('left out', left_out) if left_out else [])


def quantiles_in_words(of: dict[str, float], times: float = 1) -> str:
    """Quantiles in words."""
    low, middle, high = (number(of[name] * times) for name in ('q05', 'median', 'q95'))
    return (
        f'median {middle}, nine in ten {low} to {high}, all {number(of["min"] * times)} to {number(of["max"] * times)}'
    )


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    return f'{value:.0f}' if abs(value) >= 10 else f'{value:.1f}'


def plan_lines(base: Base, found: Suggestion) -> list[str]:
    """Scales, chips, schedule."""
    planner, score, schedule = found.planner, found.score, found.schedule
    lines = ['  scale            trains on (px)    tests on (px)    chips per image    objects learnt there']
    ranges = planner.valid_ranges.tolist()
    for n, scale in enumerate(planner.scales):
        trains, tests = (interval(pair) for pair in (ranges[n], found.test_ranges[n]))
        chips, objects = score.chips_by_scale[n], score.objects_by_scale[n]
        lines.append(f'  {in_words(scale):<17}{trains:<18}{tests:<17}{chips:<19.2f}{objects:.0%}')
    lines += [
        '',
        *row(
            'chips',
            f'{planner.chip_size} px, stride {planner.stride:g} px; {score.chips_per_image:.1f} per image and epoch',
        ),
        *row(
            'pixels',
            f'{score.pixels:.2f} times one pass over whole images at {in_words(base.single_scale)}; the test at all '
            f'scales {score.test_pixels:.1f} times',
        ),
        *row(
            'batch',
            f'{schedule.batch_size} chips, about {found.memory.gigabytes(schedule.batch_size):.1f} GB on a GPU (an '
            'estimate from one forward pass)',
        ),
        *row(
            'schedule',
            f'{schedule.epochs} epochs of {schedule.steps_per_epoch} steps, {schedule.steps} in all; '
            f'{schedule.epochs // schedule.val_interval} validations, at all scales',
        ),
        *row('learning rate', f"{schedule.lr:g}: the base's {base.lr:g} for {base.lr_batch} chips, for this batch"),
    ]
    return lines


def interval(pair: object) -> str:
    """A range in words."""
    low, high = pair
    high = None if high in (None, np.inf) else high
    if not low:
        return 'all' if high is None else f'up to {number(high)}'
    return f'{number(low)} and more' if high is None else f'{number(low)} to {number(high)}'


def why_lines(data: Fingerprint, base: Base, found: Suggestion) -> list[str]:
    """What was tried and how it scored."""
    score = found.score
    seen = score.sizes[~np.isnan(score.sizes)]
    low, middle, high = np.quantile(seen, [0.05, 0.5, 0.95]) if len(seen) else (0, 0, 0)
    lines = wrapped(
        f'{score.comfortable:.0%} of the objects (weighted by class) are learnt at a size that the network sees well, '
        f'{found.usual.comfortable:.0%} if whole images go through it at {in_words(base.single_scale)}. In the '
        f'network the median is {middle:.0f} px, nine in ten have {low:.0f} to {high:.0f} px; its anchors have '
        f'{base.anchors[0]:.0f} to {base.anchors[-1]:.0f} px and fit {score.fit:.0%}.'
    )
    lines += wrapped(
        f'{score.seen:.1%} of the objects are learnt in some chip of an epoch, {score.twice:.0%} in two or more, well.'
    )
    lines += wrapped(
        f'{found.n_tried} plans were made of the annotations'
        + (f' of {len(found.sample)} images drawn from {len(data)}' if len(found.sample) < len(data) else '')
        + f'. The best of each number of scales; suggested is the cheapest within {ALIKE:g} of the best '
        f'(score = comfort + 0.05 * seen twice - unseen - {PIXELS:g} * log2(pixels) - 0.01 * log2(test pixels)):'
    )
    lines += ['', '    scales                           comfort  twice  pixels   test  score']
    for n, (planner, of) in sorted(found.by_scales.items()):
        mark = '  <- suggested' if planner is found.planner else ''
        lines.append(f'    {n}: {short_scales(planner):<29} {figures(of)}{mark}')
    lines.append(f'    whole images, {in_words(found.single_scale):<18} {figures(found.single)}')
    if found.single_scale != base.single_scale:
        lines.append(f'    whole images, {in_words(base.single_scale):<18} {figures(found.usual)}')
    return lines


def figures(score: Score) -> str:
    """A row of the table of scores."""
    return (
        f'{score.comfort:>7.3f} {score.twice:>6.0%} {score.pixels:>7.2f} {score.test_pixels:>6.1f} {score.total:>6.3f}'
    )


def short_scales(planner: ChipPlanner) -> str:
    """Scales in a narrow column."""
    return ', '.join(scale_name(scale).replace(' ', '') for scale in planner.scales)
