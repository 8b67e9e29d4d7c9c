"""The page, read as text and in a real browser: Debian's chromium, skipped where there is none."""

import copy
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import CHROMIUM, Page

from mmsniper.datasets import ChipDataset
from mmsniper.report import gallery, panels_of_image, render, report_numbers
from mmsniper.report.page import percent, pixels, span, with_commas

VOID = {'meta', 'link', 'img', 'br', 'rect', 'line'}


@pytest.fixture
def parts(write_coco, some_images, planner_cfg, pipeline):
    """Numbers and pictures of a small data set, with names as long as people have them."""
    dataset = ChipDataset(write_coco(some_images), planner_cfg, pipeline)
    plan = dataset.plan(0)
    numbers = report_numbers(
        dataset, plan, config='a_rather_long_name_of_a_config_r50_fpn_1x', epoch=0, seed=0, mixed=False
    )
    numbers['most_chips'][0]['image'] = 'frame_2024-05-06T07_08_09_camera_front_left_000123456.jpeg'
    return numbers, gallery(dataset, dataset, plan, 6, 10**7) | dict(images=[panels_of_image(dataset, plan, 0)])


@pytest.fixture
def worst(parts):
    """The same with large numbers and with findings."""
    numbers, pictures = copy.deepcopy(parts)
    line = 'planner=dict(scales=[3.0, 1.667, (512, 512)], valid_ranges=[(None, 80), (32, 150), (120, None)])'
    finding = dict(level='problem', what='7 <objects> & more', why='Why.', remedy='Write:', line=line)
    numbers['findings'] = [finding, finding | dict(level='note', line='')]
    numbers['times_valid']['counts'][0] = 123
    for scale in numbers['scales']:
        scale.update(chips=12_345_678, per_image=12345.6, name='12345 x 6789.5', range=[1234.5, 6789.5])
    labels = [f'{n}00001 to {n + 1}00000' for n in range(9)]
    numbers['chips']['images'] = dict(labels=labels, counts=[1_234_567] * 9)
    pool = dict(in_pool=9, per_image=2.0, images_without=1, images_not_mined=1, drawn=4, most_drawn_per_image=2)
    numbers['negatives'] = pool | dict(file='negative_chips.npz', pool=dict(labels=['0', '1'], counts=[1, 3]))
    return numbers, pictures


class Checker(HTMLParser):
    """Tags that are not closed, pictures without words, tables without headings, ids twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.tables = [], [], [], 0
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == 'img' and not attributes.get('alt'):
            self.wrong.append('img without alt')
        if tag == 'svg' and not attributes.get('aria-label') and not attributes.get('aria-hidden'):
            self.wrong.append('svg without words')
        if tag == 'th' and attributes.get('scope') not in ('col', 'row'):
            self.wrong.append('th without scope')
        self.tables += tag == 'table'
        self.ids += [attributes['id']] if 'id' in attributes else []

    def handle_endtag(self, tag):
        if tag not in VOID and self.open.pop() != tag:
            self.wrong.append(f'</{tag}>')


def test_it_is_well_formed_and_has_words_for_every_picture(parts, worst):
    for numbers, pictures in (parts, worst):
        text = render(numbers, pictures)
        checker = Checker(text)
        assert checker.wrong == []
        assert len(set(checker.ids)) == len(checker.ids) == len(re.findall(r'<section aria-labelledby="(\w+)">', text))
        assert text.count('<thead>') == checker.tables > 5


def test_it_asks_for_nothing_from_elsewhere(parts):
    text = render(*parts)
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*"(?!data:)', text) == []
    assert '<script' not in text
    assert "default-src 'none'" in text


def test_it_says_the_numbers(parts):
    numbers, pictures = parts
    text = re.sub(r'\s+', ' ', render(numbers, pictures))
    chips = numbers['chips']
    assert f'4 images, 13 objects of 2 classes: {chips["total"]} chips in epoch 0' in text
    assert f'<dt>chips per image and epoch</dt><dd>{chips["per_image"]:.2f}<' in text
    assert 'Nothing stands out' in text
    assert f'6 of {chips["total"]} chips, spread over scales and images; {chips["total"] - 6} are left out.' in text
    assert '1 ignored regions (crowds)' in text
    assert 'This config has none' in text


def test_findings_are_at_the_top_and_escaped(worst):
    text = render(*worst)
    assert 'Problem: 7 &lt;objects&gt; &amp; more.' in text
    assert 'Nothing stands out' not in text
    assert '<div class="problem"><dt>objects never valid' in text
    assert 'negative_chips.npz has 9 chips' in text


def test_pictures_that_are_left_out_are_counted(parts):
    numbers, pictures = parts
    text = render(numbers, pictures | dict(too_large=3))
    assert '3 of them because the pictures would be too large (--max-mb)' in text
    none = render(numbers, dict(chips=[], of=99, too_large=0, images=[]))
    assert 'None are drawn; all 99 are left out.' in none


def test_a_data_set_may_have_no_chips_and_no_sizes(parts):
    numbers, pictures = copy.deepcopy(parts)
    for key in ('in_image', 'single_scale', 'on_chips'):
        numbers['sizes'][key] = None
    numbers['sizes']['after'] = [[0] * len(counts) for counts in numbers['sizes']['after']]
    numbers['chips']['total'] = 0
    assert Checker(render(numbers, pictures)).wrong == []


@pytest.mark.parametrize(
    ('share', 'said'), [(0, '0 %'), (1e-6, '< 0.1 %'), (0.5, '50 %'), (0.1234, '12.3 %'), (0.99999, '> 99.9 %')]
)
def test_what_is_there_is_never_nothing_and_what_is_missing_never_all(share, said):
    assert percent(share) == said.replace(' %', '\N{NO-BREAK SPACE}%')


def test_numbers_in_words():
    assert [with_commas(value) for value in (7, 12_345, 7.0, 0.126, 1234.5)] == ['7', '12,345', '7.00', '0.13', '1,234']
    assert [span(limits) for limits in ([0, 80], [32, 150], [120, None])] == [
        'under 80 px',
        '32 to 150 px',
        'from 120 px',
    ]
    assert pixels(None) == 'none'
    assert pixels(dict(p5=1.4, median=2.6, p95=9)) == '1 to 9 px, median 3'


def contrast(one, other):
    """WCAG's contrast of two colours 'rgb(r, g, b)'."""
    luminances = []
    for colour in (one, other):
        channels = np.array(re.findall(r'[\d.]+', colour)[:3], float) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        luminances.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(luminances) / min(luminances)


@pytest.mark.skipif(CHROMIUM is None, reason='no chromium')
@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
@pytest.mark.parametrize('width', [360, 400, 1200])
def test_in_a_browser(worst, tmp_path, width, dark):
    path = tmp_path / 'report.html'
    path.write_text(render(*worst), encoding='utf-8')
    with Page(path, width, dark) as page:
        assert page.overflowing() == []
        page.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        shown = 'Array.from(document.images).filter(image => image.complete && image.naturalWidth > 100).length'
        assert page.run(shown) == 9
        assert page.messages == []
        assert page.requests == [path.as_uri()]
        style = "getComputedStyle(document.querySelector('{}')).{}"
        card = page.run(style.format('section', 'backgroundColor'))
        assert (contrast(card, 'rgb(0, 0, 0)') < 2) == dark
        for name in ('section p', '.muted', '.findings b', '.problem dd', 'thead th'):
            assert contrast(card, page.run(style.format(name, 'color'))) >= 4.5, name
        for name in ('.all', '.plain', '.scale0', '.scale1', '.scale2', '.times0', '.times1', '.times2', '.times3'):
            assert contrast(card, page.run(style.format(name, 'backgroundColor'))) >= 2.9, name


@pytest.mark.skipif(CHROMIUM is None, reason='no chromium')
def test_the_browser_notices_what_is_wrong(tmp_path):
    path = tmp_path / 'wrong.html'
    path.write_text('<p style="width: 900px">wide</p><img src="http://127.0.0.1:9/a.png"><script>nothing()</script>')
    with Page(path, 400) as page:
        assert any(element.startswith('P wide') for element in page.overflowing())
        assert 'http://127.0.0.1:9/a.png' in page.requests
        assert any('nothing is not defined' in message for message in page.messages)
