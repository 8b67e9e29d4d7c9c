"""Table and picture of regimes.py: AP at equal pixels and at equal time, of all and of small objects, mean and range.

python benchmarks/plot_regimes.py --data hituav [--network tiny] [--gigapixels NUMBER] [--out docs/images/regimes.png]
    [--into README.md docs/measured.md]

Each way to train stands with its best test: the one of the highest mean AP in the end. Seconds are a run's pixels times
the seconds per pixel of its way, which regimes.py times for all ways in one go. Equal time is that of the way which is
through with its pixels first; what others had by then is taken between their marks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from pages import add_pages, show
from regime_configs import NETWORKS, REGIMES
from regime_data import BUDGETS, DATA
from regimes import RESULTS

matplotlib.use('agg')
from matplotlib import pyplot

TESTS = dict(one='one scale', tta='--tta', sahi='SAHI', focus='AutoFocus')
COLOURS = dict(
    zip(
        REGIMES,
        ('#777777', '#aa7744', '#cc8800', '#aa3377', '#4477aa', '#44aa77', '#88bb22', '#117733', '#000000'),
        strict=True,
    )
)
MEASURES = dict(AP='AP', AP_small='AP of small objects')


def main() -> None:
    """Read the arguments, print the table, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', choices=DATA, required=True, help='images')
    parser.add_argument('--network', choices=NETWORKS, default='tiny', help='network')
    parser.add_argument('--gigapixels', type=float, help='of a run; default by data set')
    parser.add_argument('--out', type=Path, help='picture; default beside the results')
    add_pages(parser)
    args = parser.parse_args()
    name = name_of(args.data, args.network, args.gigapixels)
    runs = {regime: read(name, regime) for regime in REGIMES}
    runs = {regime: of for regime, of in runs.items() if of}
    if not runs:
        raise SystemExit(f'{RESULTS} has no run {name}_*: benchmarks/regimes.py --data {args.data} makes them')
    runs = in_one_time(name, runs)
    show(table(runs), f'regimes {args.data}', args.into)
    out = args.out or RESULTS / f'{name}.png'
    draw(runs, out, f'{DATA[args.data]}, {args.network} network')
    print(f'\nWrote {out}')


def name_of(data: str, network: str, gigapixels: float | None) -> str:
    """What the files of a data set's runs begin with."""
    return f'{data}_{network}_{gigapixels or BUDGETS[data].gigapixels:g}g'


def read(name: str, regime: str) -> list[dict]:
    """The runs of a way to train, one per seed."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f'{name}_{regime}_[0-9].json'))]


def in_one_time(name: str, runs: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Runs whose seconds are by the pace of their way.

    Raises:
        SystemExit: If a way has not been timed with the others.
    """
    path = RESULTS / f'{name}_pace.json'
    paces = json.loads(path.read_text()) if path.exists() else {}
    if missing := sorted(set(runs) - set(paces)):
        raise SystemExit(f'error: {path} has no times of {missing}: call regimes.py with --regimes {" ".join(runs)}')
    for regime, of in runs.items():
        for mark in (mark for run in of for mark in run['marks']):
            mark['seconds'] = paces[regime] * mark['pixels'] / 1e9
    return runs


def best_test(runs: list[dict]) -> str:
    """The test of the highest mean AP in the end."""
    last = [run['marks'][-1] for run in runs]
    return max(
        (test for test in TESTS if test in last[0]), key=lambda test: np.mean([mark[test]['AP'] for mark in last])
    )


def at(run: dict, test: str, measure: str, key: str, value: float) -> float:
    """A figure after so many seconds or pixels, between a run's marks; before the first, between that and nothing."""
    marks = [mark for mark in run['marks'] if test in mark]
    x, y = [mark[key] for mark in marks], [mark[test][measure] for mark in marks]
    return float(np.interp(value, [0.0, *x], [0.0, *y]))


def equal_time(runs: dict[str, list[dict]]) -> float:
    """Seconds after which the first is through with its pixels, mean of its seeds."""
    return min(float(np.mean([run['marks'][-1]['seconds'] for run in of])) for of in runs.values())


def table(runs: dict[str, list[dict]]) -> str:
    """Figures in the end and at equal time, as a markdown table whose highest are bold; then the learning rates."""
    moment = equal_time(runs)
    heads = ['AP, one scale', 'AP, best test', 'AP small', f'AP after {moment:.0f} s', 'AP small']
    names, columns = [], []
    for regime, of in runs.items():
        test, last = best_test(of), [run['marks'][-1] for run in of]
        names.append(f'{REGIMES[regime]} ({TESTS[test]})')
        ends = [[mark[test][measure] for mark in last] for measure in MEASURES]
        early = [[at(run, test, measure, 'seconds', moment) for run in of] for measure in MEASURES]
        columns.append([[mark['one']['AP'] for mark in last], *ends, *early])
    best = [max(range(len(names)), key=lambda row: np.mean(columns[row][column])) for column in range(len(heads))]
    rows = [f'| trained by (best test) | {" | ".join(heads)} |', '|---' * (len(heads) + 1) + '|']
    for row, name in enumerate(names):
        cells = [spread(values) for values in columns[row]]
        cells = [f'**{cell}**' if row == best[column] else cell for column, cell in enumerate(cells)]
        rows.append(f'| {name} | {" | ".join(cells)} |')
    rates = '; '.join(f'{REGIMES[regime]}: {of[0]["rate"]:g}' for regime, of in runs.items())
    return '\n'.join([*rows, '', f'Seeds: {seeds(runs)}. Learning rates: {rates}.'])


def seeds(runs: dict[str, list[dict]]) -> str:
    """How many each way has."""
    numbers = {len(of) for of in runs.values()}
    if len(numbers) == 1:
        return f'{numbers.pop()} of each'
    return '; '.join(f'{REGIMES[regime]}: {len(of)}' for regime, of in runs.items())


def spread(values: list[float]) -> str:
    """Mean and range; of one run, that."""
    if len(values) == 1:
        return f'{values[0]:.3f}'
    return f'{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})'


def curve(runs: list[dict], test: str, measure: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels or seconds (M,) of the marks that have a test in all runs, and the figures (M, runs) there."""
    numbers = sorted(set.intersection(*({mark['mark'] for mark in run['marks'] if test in mark} for run in runs)))
    marks = [[next(mark for mark in run['marks'] if mark['mark'] == number) for run in runs] for number in numbers]
    x = [np.mean([mark[key] for mark in group]) for group in marks]
    return np.array(x), np.array([[mark[test][measure] for mark in group] for group in marks])


def draw(runs: dict[str, list[dict]], path: Path, title: str) -> None:
    """AP and AP of small objects against gigapixels and minutes."""
    figure, grid = pyplot.subplots(2, 2, figsize=(11, 8.5), sharey='row', layout='constrained')
    for row, (measure, label) in zip(grid, MEASURES.items(), strict=True):
        for axes, (key, unit) in zip(row, dict(pixels=1e9, seconds=60).items(), strict=True):
            for regime, of in runs.items():
                best, colour = best_test(of), COLOURS[regime]
                x, y = curve(of, 'one', measure, key)
                axes.plot(x / unit, y.mean(1), '--', color=colour, linewidth=1, alpha=0.7)
                x, y = curve(of, best, measure, key)
                axes.plot(x / unit, y.mean(1), 'o-', color=colour, label=f'{REGIMES[regime]}, {TESTS[best]}')
                axes.fill_between(x / unit, y.min(1), y.max(1), color=colour, alpha=0.15, linewidth=0)
            axes.grid(alpha=0.3)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        row[0].set_ylabel(label)
    grid[1][0].set_xlabel('network pixels of training, billions')
    grid[1][1].set_xlabel('processor minutes of training')
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc='outside lower center', ncols=3, fontsize=9)
    figure.suptitle(f'{title}: mean and range of seeds by the best test, dashed at one scale')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == '__main__':
    main()
