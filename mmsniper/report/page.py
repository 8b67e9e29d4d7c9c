"""The page of a report: numbers and pictures as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..visualization.canvas import BOXES, CHIPS
from .charts import Series, columns, rows

STYLES = 5  # colours of scales in the style sheet


def render(numbers: dict, pictures: dict) -> str:
    """The page.

    Args:
        numbers: What :func:`~mmsniper.report.report_numbers` gives.
        pictures: What :func:`~mmsniper.report.gallery` gives, and ``images``: a list
            of what :func:`~mmsniper.report.panels_of_image` gives.
    """
    environment = Environment(
        loader=PackageLoader('mmsniper.report', '.'), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(n=with_commas, pct=percent, px=pixels, span=span)
    template = environment.get_template('page.html')
    more = dict(charts=all_charts(numbers), boxes=BOXES, chip_lines=CHIPS, n_styles=STYLES)
    return template.render(**numbers, **more, pictures=pictures)


def all_charts(numbers: dict) -> dict[str, Markup | list[Markup]]:
    """Every chart of the page, by name."""
    chips, objects, times, sizes = (numbers[key] for key in ('chips', 'objects_per_chip', 'times_valid', 'sizes'))
    n_images, n_chips = numbers['data']['images'], max(chips['total'], 1)
    before = [count / max(sum(sizes['before']), 1) for count in sizes['before']]
    n_after = max(sum(map(sum, sizes['after'])), 1)
    after = [
        Series(f'scale {scale["name"]}', scale_style(s), [count / n_after for count in counts])
        for s, (scale, counts) in enumerate(zip(numbers['scales'], sizes['after'], strict=True))
    ]
    highest = max(*before, *map(sum, zip(*(series.values for series in after), strict=True)))
    recipes = numbers['pixels']
    times_names = ['never', 'once', 'twice', '3 or more']
    octaves = times['by_size']
    shares = [[n / max(sum(counts), 1) for n in counts] for counts in octaves['counts']]
    return dict(
        chips=histogram('Images by their number of chips', chips['images'], n_images, 'all'),
        scales=[
            histogram(f'Images by their chips of scale {scale["name"]}', scale['images'], n_images, scale_style(s))
            for s, scale in enumerate(numbers['scales'])
        ],
        pixels=rows(
            'Network pixels per epoch, of those of a single scale: '
            + ', '.join(f'{row["recipe"]} {row["of_single_scale"]:.2f}' for row in recipes),
            [row['recipe'] for row in recipes],
            [Series('', 'all', [row['of_single_scale'] for row in recipes])],
            [f'{row["of_single_scale"]:.2f}' for row in recipes],
        ),
        valid=histogram('Chips by their number of valid objects', objects['valid'], n_chips, 'all'),
        shown=histogram('Chips by the number of objects in them', objects['shown'], n_chips, 'plain'),
        times=rows(
            'Objects by the number of chips in which they are valid: '
            + ', '.join(f'{name} {share:.1%}' for name, share in zip(times_names, times['shares'], strict=True)),
            times_names,
            [Series('', 'all', times['shares'])],
            [percent(share) for share in times['shares']],
        ),
        times_by_size=rows(
            'Shares of objects that are valid never, once, twice, three times or more, by their size in the image',
            [f'{low:.0f} to {high:.0f} px' for low, high in zip(octaves['edges'], octaves['edges'][1:], strict=False)],
            [
                Series(name, f'times{n}', [share[n] for share in shares])
                for n, name in enumerate(times_names)
            ],
            [with_commas(sum(counts)) for counts in octaves['counts']],
        ),
        before=columns('Sizes of objects at a single scale', sizes['edges'], [Series('', 'plain', before)], highest),
        after=columns('Sizes of valid objects on chips, by scale', sizes['edges'], after, highest),
        negatives=numbers['negatives']
        and histogram('Images by their negative chips in the pool', numbers['negatives']['pool'], n_images, 'plain'),
    )  # fmt: skip


def histogram(summary: str, bins: dict, of: int, style: str) -> Markup:
    """Bars of a :func:`~mmsniper.report.bins.whole_bins`, with their shares of `of`."""
    texts = [f'{with_commas(count)} ({percent(count / of)})' for count in bins['counts']]
    return rows(f'{summary}: {_listed(bins)}', bins['labels'], [Series('', style, bins['counts'])], texts)


def scale_style(scale_idx: int) -> str:
    """Class of a scale in the style sheet."""
    return f'scale{scale_idx % STYLES}'


def with_commas(value: float) -> str:
    """A number with commas between its thousands: whole, or with up to two decimals where it is small."""
    return f'{value:,.0f}' if isinstance(value, int) or abs(value) >= 100 else f'{value:,.2f}'


def percent(share: float) -> str:
    """A share; what is there at all is never 0 %, what is missing never 100 %."""
    if 0 < share < 0.001:
        return '< 0.1\N{NO-BREAK SPACE}%'
    if 0.999 < share < 1:
        return '> 99.9\N{NO-BREAK SPACE}%'
    return f'{100 * share:.1f}'.removesuffix('.0') + '\N{NO-BREAK SPACE}%'


def pixels(quantiles: dict | None) -> str:
    """Percentiles of sizes in words."""
    if quantiles is None:
        return 'none'
    return f'{quantiles["p5"]:.0f} to {quantiles["p95"]:.0f} px, median {quantiles["median"]:.0f}'


def span(limits: Sequence[float | None]) -> str:
    """A valid range in words."""
    low, high = limits
    return f'from {low:g} px' if high is None else f'under {high:g} px' if not low else f'{low:g} to {high:g} px'


def _listed(bins: dict) -> str:
    return ', '.join(f'{label}: {count}' for label, count in zip(bins['labels'], bins['counts'], strict=True))
