from xml.etree import ElementTree

import pytest

from mmsniper.report.charts import COLUMNS, WIDTH, Series, columns, rows


def parsed(chart):
    """The SVG's attributes, its bars (with what they say) and its texts."""
    root = ElementTree.fromstring(str(chart))
    bars = [
        ({k: float(v) for k, v in bar.attrib.items() if k != 'class'}, bar.get('class'), bar[0].text)
        for bar in root.iter('rect')
    ]
    return root, bars, [text.text for text in root.iter('text')]


def test_bars_are_as_long_as_their_numbers():
    root, bars, texts = parsed(rows('sums', ['a', 'b', 'c'], [Series('', 'all', [1, 0, 4])], ['1', '0', '4']))
    assert root.get('aria-label') == 'sums'
    assert root.get('role') == 'img'
    (short, _, _), (long, _, said) = bars
    assert long['width'] == pytest.approx(4 * short['width'], rel=0.01)
    assert long['x'] + long['width'] <= WIDTH
    assert said == '4'
    assert texts == ['a', '1', 'b', '0', 'c', '4']


def test_stacked_bars_follow_each_other_and_say_what_they_are():
    _, bars, _ = parsed(rows('', ['a'], [Series('x', 'times0', [1]), Series('y', 'times1', [3])], ['4']))
    (first, style, said), (second, _, _) = bars
    assert second['x'] == pytest.approx(first['x'] + first['width'], abs=0.2)
    assert second['width'] == pytest.approx(3 * first['width'], rel=0.01)
    assert (style, said) == ('times0', 'x: 4')


def test_long_labels_stand_above_their_bars():
    root, bars, _ = parsed(rows('', ['a label of many letters', 'b'], [Series('', 'all', [1, 1])], ['1', '1']))
    assert {bar['x'] for bar, _, _ in bars} == {0}
    assert root.get('viewBox') == f'0 0 {WIDTH} 82'


def test_columns_are_as_high_as_their_shares():
    root, bars, texts = parsed(columns('s', [8, 11.3, 16, 22.6, 32], [Series('', 'plain', [0, 0.25, 0.5, 0])], 0.5))
    (half, _, _), (whole, _, said) = bars
    assert (half['height'], half['y']) == (COLUMNS / 2, COLUMNS / 2)
    assert (whole['height'], whole['y']) == (COLUMNS, 0)
    assert said == '16 to 23 px: 50.0%'
    assert texts == ['8', '16', '32']


def test_what_is_written_is_escaped_and_nothing_is_drawn_of_nothing():
    root, bars, texts = parsed(rows('<"a"> & b', ['<i>'], [Series('&', 'all', [0])], ['>']))
    assert root.get('aria-label') == '<"a"> & b'
    assert (bars, texts) == ([], ['<i>', '>'])
    assert parsed(columns('', [1, 2], [Series('', 'all', [0])], 0))[1] == []
