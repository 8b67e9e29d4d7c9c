"""16-bit images, files that cannot be read, and what takes their place."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmsniper.datasets import ChipDataset
from mmsniper.datasets.transforms import LoadImageOrBlank, To8Bit


@pytest.mark.parametrize(
    ('image', 'max_value', 'expected'),
    [
        (np.zeros((0, 4), np.uint16), 9, np.zeros((0, 4, 3))),
        ([[0, 2048], [4095, 5000]], 4095, [[[0] * 3, [128] * 3], [[255] * 3, [255] * 3]]),
        ([[[0, 1, 2, 9]]], 2, [[[0, 128, 255]]]),
        ([[[3]]], 3, [[[255] * 3]]),
    ],
    ids=['empty', 'grey', 'four channels', 'one channel'],
)
def test_values_are_mapped_by_their_range(image, max_value, expected):
    found = To8Bit(max_value).transform(dict(img=np.asarray(image, np.uint16)))['img']
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    assert found.tolist() == np.asarray(expected).tolist()


@pytest.mark.parametrize('max_value', [0, -1, float('nan')])
def test_a_range_must_be_one(max_value):
    with pytest.raises(ValueError, match='above 0'):
        To8Bit(max_value)


@pytest.fixture
def deep(write_coco):
    """An image of 12 bits in 16: what OpenCV makes of it is nearly black."""
    cfg = write_coco([(200, 150, [dict(bbox=[5, 5, 90, 90])])])
    path = Path(cfg['data_root']) / 'images/0.png'
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 16)
    return cfg


def test_images_of_16_bits_are_refused_or_loaded_by_their_range(deep, planner_cfg, pipeline):
    with pytest.raises(RuntimeError, match=r"0\.png: has 16 bits per channel.*type='mmsniper\.To8Bit', max_value=4095"):
        ChipDataset(deep, planner_cfg, pipeline)[0]
    pipeline[0] = dict(type='LoadImageFromFile', color_type='unchanged')
    with pytest.raises(RuntimeError, match=r'is of uint16, which no detector expects: write .*To8Bit'):
        ChipDataset(deep, planner_cfg, pipeline)[0]
    pipeline.insert(1, dict(type='mmsniper.To8Bit', max_value=4095))
    chip = ChipDataset(deep, planner_cfg, pipeline)[0]['inputs']
    assert (int(chip.min()), int(chip.max())) == (60, 219), 'as bright as it was'


def bad(cfg, *numbers):
    for n in numbers:
        (Path(cfg['data_root']) / f'images/{n}.png').write_bytes(b'')


def test_bad_images_are_skipped_on_request_alike_each_time(write_coco, some_images, planner_cfg, pipeline, messages):
    cfg = write_coco(some_images)
    bad(cfg, 0, 3)
    with pytest.raises(ValueError, match="on_bad_image is 'raise' or 'skip'"):
        ChipDataset(cfg, planner_cfg, pipeline, on_bad_image='ignore')
    one, two = (ChipDataset(cfg, planner_cfg, pipeline, on_bad_image='skip') for _ in range(2))
    numbers = range(len(one))
    seen = [one[n]['data_samples'] for n in numbers]
    again = [two[n]['data_samples'] for n in reversed(numbers)][::-1]  # nor does it matter what was bad before
    assert [(s.img_id, s.chip) for s in seen] == [(s.img_id, s.chip) for s in again]
    assert {sample.img_id for sample in seen} == {2, 3}
    for _ in range(2):
        one.report_skipped()
    said = [message for message in messages() if '2 of 4 images cannot be read' in message]
    assert len(said) == 1 and 'images/0.png' in said[0] and 'images/3.png' in said[0]


def test_when_nothing_can_be_read_it_gives_up(write_coco, some_images, planner_cfg, pipeline):
    cfg = write_coco(some_images)
    bad(cfg, 0, 1, 2, 3)
    with pytest.raises(RuntimeError, match='100 images in a row: .*the file is empty.*is data_prefix right'):
        ChipDataset(cfg, planner_cfg, pipeline, on_bad_image='skip')[0]


def test_a_mistake_in_the_config_is_no_bad_image(write_coco, some_images, planner_cfg, pipeline):
    pipeline[0] = dict(type='LoadImageFromFile', imdecode_backend='cv3')
    with pytest.raises(RuntimeError, match='cv3'):
        ChipDataset(write_coco(some_images), planner_cfg, pipeline, on_bad_image='skip')[0]


def test_mining_takes_a_blank_image_for_a_bad_one(tmp_path, messages):
    path = tmp_path / 'a.png'
    path.write_bytes(b'')
    found = LoadImageOrBlank().transform(dict(img_path=str(path), width=5, height=4))
    assert found['img'].shape == (4, 5, 3) and (found['img'] == 114).all() and found['ori_shape'] == (4, 5)
    assert any('a.png: cannot be read as an image: the file is empty' in message for message in messages())
    cv2.imwrite(str(path), np.full((4, 5, 3), 7, np.uint8))
    assert (LoadImageOrBlank().transform(dict(img_path=str(path), width=5, height=4))['img'] == 7).all()
