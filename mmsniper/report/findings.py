"""What a report's numbers say that somebody should act on: what, why it matters, what to do, the line to write."""

from __future__ import annotations

from ..config_lines import written_ranges, written_scales

PROBLEM, NOTE = 'problem', 'note'
# An epoch of so many single-scale epochs is worth asking for.
COSTLY = 2.0
# A scale with a smaller share of the chips hardly teaches.
RARE = 0.01
# More chips than this that teach no object, without negative chips, are mostly easy background.
MANY_EMPTY = 0.25
MANY_SMALL = 0.1


def find(numbers: dict, planner: dict, ann_file: str) -> list[dict]:
    """Findings, problems first.

    Args:
        numbers: All sections of :func:`~mmsniper.report.report_numbers`.
        planner: Settings of the planner.
        ann_file: For the line to write.

    Returns:
        Per finding ``level`` ('problem' or 'note'), ``what``, ``why``, ``remedy`` and ``line``, which may be ''.
    """
    suggest = f'mmsniper suggest {ann_file}'
    found = [
        *_never_valid(numbers['times_valid'], numbers['data'], planner),
        *_cost(numbers['pixels'][0]['of_single_scale'], suggest),
        *_rare_scales(numbers['scales'], suggest),
        *_empty_chips(numbers),
        *_small(numbers['sizes'], suggest),
        *_not_mined(numbers),
    ]
    return sorted(found, key=lambda finding: finding['level'] != PROBLEM)


def _finding(level: str, what: str, why: str, remedy: str, line: str = '') -> dict:
    return dict(level=level, what=what, why=why, remedy=remedy, line=line)


def _never_valid(times: dict, data: dict, planner: dict) -> list[dict]:
    found = []
    if times['never_thin']:
        what = f'{_count(times["never_thin"], "object")} of {data["objects"]} never valid, with a side under 2 px'
        why = 'No chip is planned for them; where they are seen they only label RoIs.'
        remedy = 'Correct or remove these boxes in the annotation file, or make them ignored regions:'
        found.append(_finding(PROBLEM, what, why, remedy, '"iscrowd": 1'))
    larger = max(times['never_large'], data['larger_than_a_chip'])
    if larger:
        what = (
            f'{_count(larger, "object")} of {data["objects"]} larger than a chip at every scale, '
            f'{times["never_large"]} of them never valid'
        )
        why = 'No chip encloses them, so at best parts of them are learnt.'
        level = PROBLEM if times['never_large'] else NOTE
        found.append(_finding(level, what, why, 'Add a scale that shows images whole:', _with_coarser(planner)))
    return found


def _with_coarser(planner: dict) -> str:
    """The planner with one more scale, at which any image is one chip."""
    chip_size = planner['chip_size']
    lowest = max(low or 0 for low, _ in planner['valid_ranges'])
    scales = written_scales([*planner['scales'], (chip_size, chip_size)])
    ranges = written_ranges([*planner['valid_ranges'], (lowest, None)])
    return f'planner=dict(scales={scales}, valid_ranges={ranges}, chip_size={chip_size})'


def _cost(of_single_scale: float, suggest: str) -> list[dict]:
    if of_single_scale <= COSTLY:
        return []
    what = f'An epoch costs {of_single_scale:.1f} times the pixels of a single scale (800 x 1333)'
    why = 'Training time follows the pixels. Ranges that overlap much show objects often; fine scales make many chips.'
    remedy = 'Look for scales at half of the price; if objects are tiny throughout there may be none, which it says:'
    return [_finding(NOTE, what, why, remedy, f'{suggest} --budget {of_single_scale / 2:.2g}')]


def _rare_scales(scales: list[dict], suggest: str) -> list[dict]:
    rare = [scale for scale in scales if scale['share'] < RARE]
    if not rare or len(scales) == 1:
        return []
    what = 'Hardly any chip of ' + ', '.join(
        f'scale {scale["name"]} ({_count(scale["chips"], "chip")})' for scale in rare
    )
    why = 'Few objects have the sizes of its range: it teaches next to nothing, but is a view of every image in a test.'
    return [_finding(NOTE, what, why, 'Leave it out and open the range beside it, or look for better scales:', suggest)]


def _empty_chips(numbers: dict) -> list[dict]:
    share = numbers['objects_per_chip']['share_without_valid']
    if share <= MANY_EMPTY or numbers['negatives'] is not None:
        return []
    what = f'{share:.0%} of the chips have no valid object'
    why = (
        f'{numbers["data"]["without_objects"]} of {numbers["data"]["images"]} images have no objects; random chips of '
        'them are mostly easy background.'
    )
    remedy = 'Mine negative chips with mmsniper recipe, or train without random ones:'
    return [_finding(NOTE, what, why, remedy, 'train_dataloader = dict(dataset=dict(empty_chips=0))')]


def _small(sizes: dict, suggest: str) -> list[dict]:
    share = sizes['share_few_after']
    if share <= MANY_SMALL:
        return []
    what = f'{share:.0%} of the objects are under {sizes["few_pixels"]} px in the network even where they are largest'
    why = 'The finest level of an FPN has a stride of 4 px: little of such an object is left.'
    return [_finding(NOTE, what, why, 'Give small objects a finer scale:', suggest)]


def _not_mined(numbers: dict) -> list[dict]:
    missing = (numbers['negatives'] or {}).get('images_not_mined', 0)
    if not missing:
        return []
    what = f'{_count(missing, "image")} of {numbers["data"]["images"]} not in {numbers["negatives"]["file"]}'
    return [_finding(NOTE, what, 'They get no negative chips.', 'Mine again with mmsniper recipe.')]


def _count(n: int, noun: str) -> str:
    return f'{n} {noun}' if n == 1 else f'{n} {noun}s'
