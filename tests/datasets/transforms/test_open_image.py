"""Chips that are read from files are the chips that are cut from images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiff_files import write_tiff

from mmsniper import large_images
from mmsniper.datasets import ChipDataset, OpenImage
from mmsniper.datasets.transforms import open_image
from mmsniper.large_images import LargeImage

OPEN = dict(type='mmsniper.OpenImage')


@pytest.fixture
def tiled(write_coco):
    """Images of up to 3000 px as tiled TIFF under their old names."""
    boxes = [dict(bbox=[40 * n, 1500 - 50 * n, 10 + 40 * n, 20 + 30 * n]) for n in range(20)]
    cfg = write_coco([(3000, 2400, boxes), (150, 100, [dict(bbox=[20, 20, 50, 60])]), (900, 33, [])])
    rng = np.random.default_rng(0)
    for path in Path(cfg['data_root']).glob('images/*.png'):
        image = cv2.imread(str(path))
        image += rng.integers(0, 30, image.shape, dtype=np.uint8)
        path.unlink()
        write_tiff(path, image, tile=256)
    return cfg


@pytest.mark.parametrize('interpolation', ['bilinear', 'nearest'])
def test_chips_are_those_of_the_whole_image(tiled, planner_cfg, pipeline, interpolation):
    # Reduced pixels are for coarse scales, and only where they are averaged.
    planner_cfg.update(
        scales=[2.0, 0.9, 0.3 if interpolation == 'bilinear' else 0.1],
        valid_ranges=[(None, 90), (60, 300), (200, None)],
    )
    pipeline[2]['interpolation'] = interpolation
    whole = ChipDataset(tiled, planner_cfg, pipeline)
    opened = ChipDataset(tiled, planner_cfg, [OPEN, *pipeline[1:]])
    assert len(whole) == len(opened) >= 8
    scales = set()
    for n in range(len(whole)):
        one, other = whole[n], opened[n]
        assert np.array_equal(one['inputs'], other['inputs'])
        a, b = one['data_samples'], other['data_samples']
        assert a.metainfo == b.metainfo
        assert np.array_equal(a.gt_instances.bboxes.tensor, b.gt_instances.bboxes.tensor)
        scales.add(a.scale_idx)
    assert scales == {0, 1, 2}


def test_coarse_chips_are_reduced_and_lie_where_the_objects_are(tiled, planner_cfg, pipeline):
    planner_cfg.update(scales=[0.1], valid_ranges=[(None, None)])
    whole, opened = (ChipDataset(tiled, planner_cfg, [load, *pipeline[1:]]) for load in (pipeline[0], OPEN))
    for n in range(len(whole)):
        one, other = (set_[n]['inputs'].numpy().astype(int) for set_ in (whole, opened))
        # The noise is averaged out; objects' edges are half a pixel wide in both.
        assert 0 < np.abs(one - other).mean() < 8
        assert (abs(one - other).max(0) > 80).mean() < 0.01


def test_the_header_gives_what_the_annotation_does_not(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((30, 40, 3), np.uint8))
    found = OpenImage()(dict(img_path=str(tmp_path / 'a.jpg')))
    image = found.pop('large_image')
    assert isinstance(image, LargeImage)
    assert found == dict(img_path=image.path, img_shape=(30, 40), ori_shape=(30, 40), height=30, width=40)
    assert OpenImage()(dict(img_path=image.path, height=7, width=8))['height'] == 7, 'for ChipSampler to compare'


def test_a_wrong_size_is_refused_as_ever(tiled, planner_cfg, pipeline):
    opened = ChipDataset(tiled, planner_cfg, [OPEN, *pipeline[1:]])
    path = next(Path(tiled['data_root']).glob('images/1.png'))
    write_tiff(path, np.zeros((150, 100, 3), np.uint8))
    with pytest.raises(RuntimeError, match='the file is 100 x 150 pixels, but its annotation says 150 x 100'):
        [opened[n] for n in range(len(opened))]


def test_bad_files_are_skipped_on_request_when_opened_and_when_read(tiled, planner_cfg, pipeline):
    root = Path(tiled['data_root']) / 'images'
    (root / '1.png').write_bytes(b'')
    write_tiff(root / '2.png', np.zeros((33, 900, 3), np.uint8))
    content = (root / '2.png').read_bytes()
    (root / '2.png').write_bytes(content[:-9])
    steps = [OPEN, *pipeline[1:]]
    with pytest.raises(RuntimeError, match=r'\d\.png: cannot be read as an image'):
        [ChipDataset(tiled, planner_cfg, steps)[n] for n in range(60)]
    chips = ChipDataset(tiled, planner_cfg, steps, on_bad_image='skip')
    assert {chips[n]['data_samples'].img_id for n in range(len(chips))} == {1}


def test_places_that_are_not_this_machine_are_refused():
    assert OpenImage(backend_args=dict(backend='local')) and OpenImage(backend_args=None)
    with pytest.raises(ValueError, match="must lie on this machine; got backend 'petrel'"):
        OpenImage(backend_args=dict(backend='petrel'))


@pytest.mark.parametrize(('load', 'n'), [('LoadImageFromFile', 1), ('mmsniper.OpenImage', 0)])
def test_what_large_images_cost_is_said_once_with_the_line_to_write(
    tiled, planner_cfg, pipeline, monkeypatch, messages, load, n
):
    monkeypatch.setattr(open_image, 'LARGE', 7_000_000)
    monkeypatch.setattr(large_images, 'LARGE', 7_000_000)
    pipeline[0] = dict(type=load)
    chips = ChipDataset(tiled, planner_cfg, pipeline)
    chips[0], chips[1]
    said = [message for message in messages() if 'are decoded whole for their chips' in message]
    assert len(said) == n
    assert not n or (
        '1 images have more than 7 million pixels, the largest 3000 x 2400' in said[0]
        and "dict(type='mmsniper.OpenImage')" in said[0]
    )
