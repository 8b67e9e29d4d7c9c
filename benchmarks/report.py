"""Writes RESULTS.md from what the benchmarks left in results/: what an epoch costs, against what, and what is aimed at.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
HEAD = """# What an epoch costs

Written by `make bench`, which runs the scripts below on the CPU, one thread each. Ratios are of processor time,
measured in turns in one run; seconds are of the machine that ran it, and vary with what else runs there.

| what | against | aim | measured | by |
|---|---|---|---|---|
"""


def main() -> None:
    """Write the table; what was not measured says so."""
    rows = [*loader(), *regions(), *startup(), *step(), *order(), *gpu()]
    text = HEAD + ''.join(f'| {" | ".join(row)} |\n' for row in rows)
    (FOLDER / 'RESULTS.md').write_text(text)
    print(text)


def read(name: str) -> dict | list | None:
    """What a benchmark found, None if it has not run."""
    path = FOLDER / 'results' / f'{name}.json'
    return json.loads(path.read_text()) if path.exists() else None


def loader() -> Iterator[tuple[str, ...]]:
    """Chips per second."""
    aims = {('640 x 480', False): '1.8', ('640 x 480', True): '2.5', ('4000 x 3000', False): '12'}
    for row in read('loader') or []:
        what = f'chips per second of one worker, {row["images"]} JPEGs, {"masks" if row["masks"] else "boxes"}'
        against = 'loading the image for each chip' + (', masks as bitmaps of its size' if row['masks'] else '')
        measured = f'**{row["each"] / row["once"]:.2f} times**; {row["once"]:.2f} ms a chip'
        measured += f', {row["loads"]:.2f} loads for {row["chips"]:.1f} chips of an image'
        yield what, against, f'{aims[row["images"], row["masks"]]} times', measured, '`loader.py`'


def regions() -> Iterator[tuple[str, ...]]:
    """Large images."""
    found = read('regions') or dict(chips={})
    for kind, ways in found['chips'].items():
        whole, windows = (ways[way]['seconds'] for way in ('whole', 'windows'))
        ratios = sorted(round(whole[0] / seconds) for seconds in windows)
        what = f'a chip of a 20,000 px tiled TIFF, {kind}, at zooms 2, 1 and 0.25'
        measured = f'**{ratios[0]} to {ratios[-1]} times**, {ways["windows"]["mb"] / 1000:.1f} GB'
        yield what, 'decoding the whole', '50 times, 2 GB', measured, '`regions.py`'
    for name, test in found.items():
        if name.startswith('test of'):
            yield f'memory of a {name}, --tta', '', '2 GB', f'**{test["mb"] / 1000:.1f} GB**', '`regions.py`'


def startup() -> Iterator[tuple[str, ...]]:
    """Reading annotations, planning."""
    found = read('startup')
    if found is None:
        return
    ours, plain, plan = found['chips'], found['mmdet'], found['plan']
    yield (
        f'from a {found["megabytes"]} MB COCO file to the first batch, polygons checked',
        "65 s and 5.9 GB of an earlier version; mmdet's `CocoDataset` alone in the same run",
        'half, 4 GB',
        f'**{ours["total"]:.0f} s, {ours["gigabytes"]:.1f} GB**; mmdet {plain["total"]:.0f} s, '
        f'{plain["gigabytes"]:.1f} GB',
        '`startup.py`',
    )
    yield (
        f'boxes, two plans and the order of {plan["images"] / 1e6:.1f} million images',
        '',
        '4 GB',
        f'**{plan["gigabytes"]:.1f} GB**; {plan["plan"]:.0f} s for a plan of {plan["chips"] / 1e6:.1f} million chips, '
        'in the background of the epoch before',
        '`startup.py`',
    )


def step() -> Iterator[tuple[str, ...]]:
    """Seconds per pixel of a step, and its memory."""
    for network, name, aim in (('demo', "the demo's network", '1.25'), ('r50', 'R-50', '1.10')):
        found = read(f'step_{network}')
        if found is None:
            continue
        per_pixel = found['seconds_per_megapixel']
        for recipe in ('SNIPER', 'SNIPER, frozen batch norm'):
            if recipe in per_pixel:
                seconds = {name: parts['step'] + parts['loader'] for name, parts in per_pixel.items()}
                ratios = [seconds[recipe] / seconds[other] for other in ('single scale', 'SNIP')]
                what = f'seconds per epoch over pixels per epoch, {name}' + recipe.removeprefix('SNIPER')
                measured = '**{:.2f}** and **{:.2f}**'.format(*ratios)
                yield what, 'those of a single scale, and of SNIP', aim, measured, f'`step.py --network {network}`'
        if 'peak_memory_mb' in found:
            chips, whole = (found['peak_memory_mb'][recipe] / 1000 for recipe in ('SNIPER', 'SNIP'))
            measured = f'**{chips / whole:.2f}**: {chips:.1f} of {whole:.1f} GB'
            yield f'peak memory of a step of 4 chips, {name}', "SNIP's finest image", '0.5', measured, '`step.py`'


def order() -> Iterator[tuple[str, ...]]:
    """What the order of chips costs in AP."""
    found = read('order')
    for arm, seeds in (found or dict(table={}))['table'].items():
        aps = [ap for ap, *_ in seeds]
        measured = f'**{sum(aps) / len(aps):.3f}** ({min(aps):.3f} to {max(aps):.3f}), {len(aps)} seeds'
        yield f'AP, chips {arm}', '', '', measured, '`order.py` (not by `make bench`: an hour)'


def gpu() -> Iterator[tuple[str, ...]]:
    """AMP on a GPU."""
    if read('step_r50_cuda') is None:
        what = 'R-50, AMP, on a GPU: chips per second, share of waiting for them, batch in 16 GB'
        yield what, 'single scale, SNIP', '5 %, 20 chips', 'not measured: no GPU yet', '`step.py --device cuda`'


if __name__ == '__main__':
    main()
