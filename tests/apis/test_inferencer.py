"""Images of every kind through the inferencer, with a tiny detector of random weights."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmsniper.apis import MultiScaleInferencer, image_files

TINY = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=2),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(in_channels=16, conv_out_channels=16, num_classes=2),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.01, max_per_img=5)),
)


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory):
    """Mask R-CNN at two scales, the finer one tiled."""
    folder = tmp_path_factory.mktemp('inferencer')
    bases = ['_base_/models/mask-rcnn_r50_fpn.py', '_base_/datasets/coco_instance.py', '_base_/default_runtime.py']
    (folder / 'config.py').write_text(f'_base_ = {[f"mmdet::{base}" for base in bases]}')
    cfg = Config.fromfile(folder / 'config.py')
    tta_cfg = dict(scales=[1.0, (128, 128)], ranges=[(None, 40), (30, None)], max_canvas=256)
    cfg.merge_from_dict(dict(model=TINY, tta_model=dict(type='mmsniper.MultiScaleChipTTA', tta_cfg=tta_cfg)))
    cfg.tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackDetInputs', meta_keys=('img_path', 'ori_shape'))]
    with pytest.warns(UserWarning, match='Checkpoint is not loaded'):
        return MultiScaleInferencer(cfg, device='cpu', show_progress=False)


def picture(width, height, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (height, width, channels) if channels > 1 else (height, width), np.uint8)


def exif_rotated(path):
    image = Image.fromarray(picture(80, 60))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


KINDS = {
    'ordinary.png': (lambda path: cv2.imwrite(path, picture(90, 70)), (90, 70)),
    'grey.png': (lambda path: cv2.imwrite(path, picture(90, 70, 1)), (90, 70)),
    'alpha.png': (lambda path: cv2.imwrite(path, picture(90, 70, 4)), (90, 70)),
    'deep.png': (lambda path: cv2.imwrite(path, picture(90, 70).astype(np.uint16) * 256), (90, 70)),
    'turned.jpg': (exif_rotated, (60, 80)),
    'pixel.png': (lambda path: cv2.imwrite(path, picture(1, 1)), (1, 1)),
    'strip.png': (lambda path: cv2.imwrite(path, picture(20000, 50)), (20000, 50)),
}


@pytest.mark.parametrize('name', KINDS)
def test_images_of_every_kind(name, inferencer, tmp_path):
    write, (width, height) = KINDS[name]
    path = str(tmp_path / name)
    write(path)
    result = inferencer(path, return_vis=True)
    found = result['predictions'][0]
    boxes = np.array(found['bboxes']).reshape(-1, 4)
    assert len(boxes) == len(found['scores']) == len(found['labels']) == len(found['masks'])
    assert (boxes >= 0).all()
    assert (boxes <= np.array([width, height] * 2) + 1e-3).all()
    assert all(rle['size'] == [height, width] for rle in found['masks'])
    drawn = result['visualization'][0]
    assert max(drawn.shape[:2]) == min(max(width, height), 2000)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [('empty.png', b'', 'empty'), ('text.jpg', b'no image at all', 'damaged')],
)
def test_files_that_are_no_images_are_named(name, content, message, inferencer, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{name}: cannot be read as an image.*{message}'):
        inferencer(str(path))


def test_arrays_give_what_their_files_give(inferencer, tmp_path):
    image = picture(120, 90)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    from_file, from_array = inferencer(str(tmp_path / 'a.png')), inferencer(image)
    assert from_file['predictions'] == from_array['predictions']
    with pytest.raises(ValueError, match=r'an array is \(H, W, 3\) uint8'):
        inferencer(image.astype(float))


def test_a_folder_is_sorted_and_other_files_are_counted(tmp_path):
    for name in ('b.png', 'a.jpg', 'notes.txt'):
        (tmp_path / name).touch()
    images, others = image_files(tmp_path)
    assert [path.name for path in images] == ['a.jpg', 'b.png']
    assert others == 1
    (tmp_path / 'none').mkdir()
    with pytest.raises(ValueError, match='no images among 0 files'):
        image_files(tmp_path / 'none')
