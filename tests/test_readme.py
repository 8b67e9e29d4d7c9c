import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from shrink import shrink, train_and_detect

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', README, re.S)


def test_the_ten_lines_are_a_config(tmp_path):
    text = next(block for block in BLOCKS if block.startswith('_base_'))
    assert len(text.strip().splitlines()) <= 10
    path = tmp_path / 'my_config.py'
    path.write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
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
    text = next(block for block in BLOCKS if block.startswith('_base_') and about in block)
    (tmp_path / 'swapped.py').write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    cfg = Config.fromfile(tmp_path / 'swapped.py')
    assert (cfg.model.backbone.type, cfg.model.type) == (backbone, detector)
    shrink(cfg, tmp_path)
    train_and_detect(cfg)


def test_the_planner_example_gives_what_it_says():
    names = {}
    exec(next(block for block in BLOCKS if 'ChipPlanner' in block), names)
    chips = names['chips']
    assert chips.bboxes.shape == (2, 4)
    assert chips.scale_idx.tolist() == [0, 2]
    np.testing.assert_allclose(chips.scale, [2.994, 0.8], atol=5e-4)


def test_the_three_lines_detect(tiny_mask_rcnn, tmp_path):
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((30, 40, 3), np.uint8))
    lines = next(block for block in BLOCKS if 'MultiScaleInferencer' in block)
    for name, path in (('my_config.py', tiny_mask_rcnn[0]), ('epoch_7.pth', tiny_mask_rcnn[1]), ('image.jpg', image)):
        lines = lines.replace(f"'{name}'", f"'{path}'")
    names = {}
    exec(lines, names)
    assert sorted(names['result']) == ['bboxes', 'labels', 'masks', 'scores']


def test_links_lead_somewhere():
    for page in [ROOT / 'README.md', *ROOT.glob('configs/*/README.md')]:
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            assert target.startswith('http') or (page.parent / target).exists(), f'{page}: {target}'
