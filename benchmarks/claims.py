"""What the papers claim, and what was measured of it here, from the results of the other scripts, as one table.

python benchmarks/claims.py [--network tiny] [--gigapixels NUMBER] [--into docs/measured.md]

Reads results/regimes/ (regimes.py) and results/ablations/ (ablations.py) for every data set that they have. What has
not been run says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np
from pages import add_pages, show
from plot_regimes import at, best_test, name_of, read, spread
from regime_configs import NETWORKS
from regime_data import DATA
from regimes import RESULTS

ABLATIONS = RESULTS.with_name('ablations')
MISSING = 'not run yet'


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--network', choices=NETWORKS, default='tiny', help='of the runs')
    parser.add_argument('--gigapixels', type=float, help='of a run of regimes.py; default by data set')
    add_pages(parser)
    args = parser.parse_args()
    names = {data: name_of(data, args.network, args.gigapixels) for data in DATA}
    rows = [
        f'| claim | theirs, on COCO | {" | ".join(DATA[data] for data in names)} | by |',
        '|---' * (len(names) + 3) + '|',
    ]
    claims: dict[str, tuple[str, Callable[[str], str], str]] = {
        'negative chips add AP: at equal pixels': ('', negatives, 'regimes.py'),
        'at as many positive chips, one scale': ('+2.7', negatives_besides, 'regimes.py'),
        'and confident detections (0.5 and more)': ('', errors, 'regimes.py'),
        'three scales beat two': ('+2.8', three_scales, 'ablations.py'),
        'labels by valid range beat all labels': ('', against('labels'), 'ablations.py'),
        'batch norm trained on 8 chips, against 2 with it frozen': (
            '',
            against('frozen_2', 'batch_norm'),
            'ablations.py',
        ),
        'and against 2 with it trained': ('', against('batch_norm_2', 'batch_norm'), 'ablations.py'),
    }
    for claim, (theirs, measure, script) in claims.items():
        rows.append(f'| {claim} | {theirs} | {" | ".join(measure(name) for name in names.values())} | `{script}` |')
    show('\n'.join(rows), 'claims', args.into)


def negatives(name: str) -> str:
    """What negative chips add, each way by its best test."""
    with_them, without = read(name, 'negatives'), read(name, 'sniper')
    if not (with_them and without):
        return MISSING
    return difference(*([run['marks'][-1][best_test(runs)]['AP'] for run in runs] for runs in (with_them, without)))


def negatives_besides(name: str) -> str:
    """What they add to the same positive chips, as in the paper's epochs; at one scale, which all marks have."""
    with_them, without = read(name, 'negatives'), read(name, 'sniper')
    if not (with_them and without):
        return MISSING
    last = [run['marks'][-1] for run in with_them]
    positive = [(1 - run['negative_share']) * mark['pixels'] for run, mark in zip(with_them, last, strict=True)]
    before = [at(run, 'one', 'AP', 'pixels', float(np.mean(positive))) for run in without]
    return difference([mark['one']['AP'] for mark in last], before)


def errors(name: str) -> str:
    """False and right detections per image, with negative chips and without, each by its best test."""
    with_them, without = read(name, 'negatives'), read(name, 'sniper')
    if not (with_them and without):
        return MISSING
    cells = []
    for key in ('false', 'right'):
        counts = [[run['marks'][-1][best_test(runs)][key] for run in runs] for runs in (without, with_them)]
        cells.append(' to '.join(f'{np.mean(of):.1f}' for of in counts) + f' {key}')
    return f'from {", ".join(cells)} per image'


def three_scales(name: str) -> str:
    """The ablation of three scales against that of two; one of them may be what was suggested."""
    by_scales = {len(run['planner']['scales']): run['name'] for run in ablations(name) if run['name'] == 'base'}
    by_scales.update({n: f'scales_{n}' for n in (2, 3) if n not in by_scales})
    return against(by_scales[2], by_scales[3])(name)


def against(worse: str, better: str = 'base') -> Callable[[str], str]:
    """AP of an ablation less that of another, over the seeds that both have."""
    pair = better, worse

    def measure(name: str) -> str:
        aps = {key: {run['seed']: run['tta']['AP'] for run in ablations(name) if run['name'] == key} for key in pair}
        seeds = sorted(set.intersection(*map(set, aps.values())))
        return difference(*([aps[key][seed] for seed in seeds] for key in pair)) if seeds else MISSING

    return measure


def ablations(name: str) -> list[dict]:
    """All runs of ablations.py on a data set."""
    return [json.loads(path.read_text()) for path in sorted(ABLATIONS.glob(f'{name}_*.json'))]


def difference(better: Sequence[float], worse: Sequence[float]) -> str:
    """In points of AP; both means and ranges of AP."""
    return f'{100 * (np.mean(better) - np.mean(worse)):+.1f}: {spread(better)}, {spread(worse)}'


if __name__ == '__main__':
    main()
