"""The README and the pages of docs/: their configs train, their examples run, their links lead somewhere."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from shrink import shrink, train_and_detect

import mmsniper.registry
from mmsniper.cli import find_tools

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


def blocks(page, language='python'):
    return re.findall(rf'```{language}[^\n]*\n(.*?)```', (ROOT / page).read_text(), re.S)


@pytest.mark.parametrize('page', ['README.md', 'docs/quick-start.md'])
def test_the_ten_lines_are_a_config(page, tmp_path):
    text = next(block for block in blocks(page) if block.startswith('_base_'))
    assert len(text.strip().splitlines()) <= 10
    path = tmp_path / 'my_config.py'
    path.write_text(text)
    cfg = Config.fromfile(path)
    chips = cfg.train_dataloader.dataset
    assert chips.type == 'mmsniper.ChipDataset'
    assert chips.planner.chip_size == 512
    assert chips.dataset.data_root == 'data/bccd/'
    assert chips.dataset.metainfo.classes == cfg.test_dataloader.dataset.metainfo.classes == ('WBC', 'RBC', 'Platelets')
    assert cfg.model.roi_head.bbox_head.num_classes == 3


@pytest.mark.parametrize(
    ('about', 'backbone', 'detector'), [('ResNeXt', 'ResNeXt', 'FasterRCNN'), ('cascade', 'ResNet', 'CascadeRCNN')]
)
def test_the_swaps_train_and_detect(about, backbone, detector, tmp_path):
    """The complete files, as they stand; shrunk for the sake of time."""
    text = next(block for block in blocks('docs/recipes.md') if block.startswith('_base_') and about in block)
    (tmp_path / 'swapped.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'swapped.py')
    assert (cfg.model.backbone.type, cfg.model.type) == (backbone, detector)
    shrink(cfg, tmp_path)
    train_and_detect(cfg)


def test_the_planner_example_gives_what_it_says():
    names = {}
    exec(next(block for block in blocks('docs/scales.md') if 'ChipPlanner' in block), names)
    chips = names['chips']
    assert chips.bboxes.shape == (2, 4)
    assert chips.scale_idx.tolist() == [0, 2]
    np.testing.assert_allclose(chips.scale, [2.994, 0.8], atol=5e-4)


def test_the_three_lines_detect(tiny_mask_rcnn, tmp_path):
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((30, 40, 3), np.uint8))
    lines = next(block for block in blocks('docs/testing.md') if 'MultiScaleInferencer' in block)
    for name, path in (('my_config.py', tiny_mask_rcnn[0]), ('epoch_7.pth', tiny_mask_rcnn[1]), ('image.jpg', image)):
        lines = lines.replace(f"'{name}'", f"'{path}'")
    names = {}
    exec(lines, names)
    assert sorted(names['result']) == ['bboxes', 'labels', 'masks', 'scores']


def anchors(page):
    """What the headings of a page are called in links."""
    titles = re.findall(r'^#+ (.+)$', re.sub(r'```.*?```', '', page.read_text(), flags=re.S), re.M)
    return {re.sub(r'[^\w -]', '', title.lower()).strip().replace(' ', '-') for title in titles}


def test_links_lead_somewhere():
    for page in [*PAGES, *ROOT.glob('configs/*/README.md'), *ROOT.glob('benchmarks/*.md')]:
        for target, _, anchor in re.findall(r'\]\((?!http)([^)#]*)(#([^)]+))?\)', page.read_text()):
            file = (page.parent / target) if target else page
            assert file.exists(), f'{page}: {target}'
            generated = file.name == 'commands.md'  # its sections are made when the site is
            assert not anchor or generated or anchor in anchors(file), f'{page}: {target}#{anchor}'


def test_pages_are_in_the_navigation_and_pictures_are_small():
    navigation = (ROOT / 'mkdocs.yml').read_text().partition('nav:')[2]
    assert {path.name for path in PAGES[1:]} == set(re.findall(r': ([\w-]+\.md)', navigation)) - {'CHANGELOG.md'}
    assert sum(path.stat().st_size for path in (ROOT / 'docs/images').iterdir()) < 2e6


def test_every_component_has_its_settings():
    registries = [item for item in vars(mmsniper.registry).values() if isinstance(item, Registry)]
    own = [item for item in registries if item.scope == 'mmsniper']
    for registry in own:
        registry.import_from_location()
    names = {component.__name__ for registry in own for component in registry.module_dict.values()}
    text = (ROOT / 'docs/settings.md').read_text()
    assert len(names) > 20
    assert {name for name in names if not re.search(rf'^::: mmsniper\.[\w.]+\.{name}$', text, re.M)} == set()


def test_commands_that_the_pages_name_exist():
    code = [part for page in PAGES for part in re.findall(r'```.*?```|`[^`\n]+`', page.read_text(), re.S)]
    named = set(re.findall(r'(?<!mim )(?<!train )(?<!test )(?<!run )mmsniper ([a-z]+)', '\n'.join(code)))
    assert len(named) > 8
    assert named <= set(find_tools())
