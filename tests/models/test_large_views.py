"""Views read from files: by MultiScaleChipTTA, tools/test.py --tta, and MultiScaleInferencer."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.fileio import load
from tiff_files import write_tiff

from mmsniper.apis import MultiScaleInferencer
from mmsniper.large_images import LargeImage
from mmsniper.models import MultiScaleChipTTA
from mmsniper.models.views import View

CFG = dict(scales=[2.0, 1.0, 0.5], ranges=[(None, 24), (16, 60), (40, None)], max_canvas=200)
PIPELINE = [
    dict(type='mmsniper.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]


@pytest.fixture
def data(write_coco):
    """Three images as tiled TIFF under their old names."""
    boxes = [[dict(bbox=[20 + 50 * k, 12 + 20 * n, 9 + 3 * n + 4 * k, 10 + 5 * n]) for k in range(6)] for n in range(3)]
    cfg = write_coco([(400 - 50 * n, 300 + 20 * n, boxes[n]) for n in range(3)], classes=('thing', 'other', 'third'))
    for path in Path(cfg['data_root']).glob('images/*.png'):
        image = cv2.imread(str(path))
        path.unlink()
        write_tiff(path, image, tile=64)
    return cfg


@pytest.mark.parametrize('flip', [False, True])
def test_detections_are_those_of_the_whole_image(data, oracle, flip):
    tta = MultiScaleChipTTA(oracle(), {**CFG, 'flip': flip})
    results = []
    for first in (dict(type='LoadImageFromFile'), PIPELINE[0]):
        dataset = DATASETS.build(dict(data, pipeline=[first, *PIPELINE[1:]], test_mode=True))
        batch = pseudo_collate([dataset[n] for n in range(3)])
        assert ('inputs' in batch) == (first is not PIPELINE[0])
        results.append(tta.test_step(batch))
    for whole, read in zip(*results, strict=True):
        assert len(whole.pred_instances) >= 18
        assert torch.equal(whole.pred_instances.bboxes, read.pred_instances.bboxes)
        assert torch.equal(whole.pred_instances.scores, read.pred_instances.scores)
        assert torch.equal(whole.gt_instances.bboxes, read.gt_instances.bboxes)
        assert whole.metainfo == read.metainfo


@pytest.mark.parametrize('name', ['a.tif', 'a.jpg', 'a.png'])
def test_a_coarse_view_is_close_to_that_of_the_whole(tmp_path, name):
    path = tmp_path / name
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8), (0, 0), 12)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    if name == 'a.tif':
        write_tiff(path, image)
    else:
        cv2.imwrite(str(path), image)
    whole = torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1).contiguous()
    for flip in (False, True):
        view = View(0, 0, (100, 50, 1200, 900), (85, 110), flip=flip)
        found, expected = view.cut(LargeImage(path), torch.device('cpu')), view.cut(whole)
        assert found.dtype == expected.dtype and found.shape == expected.shape == (3, 85, 110)
        assert (found.int() - expected).abs().float().mean() < 3


def test_neither_pixels_nor_a_file_is_said(oracle, packed):
    batch = packed(torch.zeros(3, 20, 30, dtype=torch.uint8))
    del batch['inputs']
    with pytest.raises(FileNotFoundError, match=r'0\.png: cannot be read as an image: the file does not exist'):
        MultiScaleChipTTA(oracle(), CFG).test_step(batch)
    batch['data_samples'][0].set_metainfo(dict(img_path=None))
    with pytest.raises(ValueError, match=r"neither pixels nor the file.*mmsniper\.OpenImage, and add 'img_path'"):
        MultiScaleChipTTA(oracle(), CFG).test_step(batch)


def test_mmdets_test_script_drives_it(demo_cfg, tmp_path, run_tool):
    demo_cfg.dump(tmp_path / 'mine.py')
    torch.save(dict(state_dict=MODELS.build(demo_cfg.model).state_dict()), tmp_path / 'weights.pth')
    found = []
    for n, options in enumerate((['tta_pipeline.0.type=mmsniper.OpenImage'], [])):
        out = tmp_path / f'{n}.pkl'
        arguments = [tmp_path / 'mine.py', tmp_path / 'weights.pth', '--tta', '--work-dir', tmp_path / f'work{n}']
        arguments += ['--out', out, '--cfg-options', 'tta_model.tta_cfg.max_per_img=7', *options]
        assert run_tool('test.py', *arguments).returncode == 0
        found.append(load(out))
    for read, whole in zip(*found, strict=True):
        assert len(read['pred_instances']['scores']) == 7
        assert torch.equal(read['pred_instances']['bboxes'], whole['pred_instances']['bboxes'])


def test_the_inferencer_reads_detects_and_draws_reduced(tiny_mask_rcnn, tmp_path, monkeypatch):
    config, checkpoint = tiny_mask_rcnn
    path = tmp_path / 'wide.tif'
    pixels = write_tiff(path, np.random.default_rng(0).integers(0, 256, (400, 4500, 3), dtype=np.uint8))
    cfg = Config.fromfile(config)
    # Nothing that is reduced: detections must be the same.
    cfg.tta_model.tta_cfg.scales = [1.0, 0.5]
    whole = MultiScaleInferencer(cfg, str(checkpoint), device='cpu', show_progress=False)
    expected = whole(str(path), return_vis=True, pred_score_thr=0.0)
    cfg.tta_pipeline[0] = dict(type='mmsniper.OpenImage')
    inferencer = MultiScaleInferencer(cfg, str(checkpoint), device='cpu', show_progress=False)
    found = inferencer(str(path), return_vis=True, pred_score_thr=0.0, out_dir=str(tmp_path / 'out'))
    assert found['predictions'] == expected['predictions']
    (picture,), (other,) = found['visualization'], expected['visualization']
    assert picture.shape == other.shape == (178, 2000, 3)
    assert np.abs(picture.astype(int) - other).mean() < 3
    assert (tmp_path / 'out/vis/wide.tif').exists()
    assert inferencer(pixels, return_vis=True)['predictions'] == expected['predictions']
    (tmp_path / 'bad.tif').write_bytes(b'II*')
    with pytest.raises(ValueError, match=r'bad\.tif: cannot be read as an image'):
        inferencer(str(tmp_path / 'bad.tif'))
