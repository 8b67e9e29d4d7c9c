import math

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from mmsniper.models import MultiScaleChipTTA

NMS = dict(type='nms', iou_threshold=0.5)
# At 2.0 an image of 300 x 200 has tiles both ways, at 1.0 along x, at 0.5 none.
CFG = dict(scales=[2.0, 1.0, 0.5], ranges=[(None, 24), (16, 60), (40, None)], nms=NMS, max_canvas=200)
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
PACK = dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))


def scene(seed, width=300, height=200, cell=100, grid=1):
    """An image (3, H, W) of one rectangle per cell, their boxes (n, 4) and classes; some touch the border."""
    rng = np.random.default_rng(seed)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    bboxes, labels = [], []
    for y in range(0, height, cell):
        for x in range(0, width, cell):
            room = np.array([min(cell, width - x), min(cell, height - y)])
            w, h = np.maximum(np.exp(rng.uniform(np.log(8), np.log(80), 2)), 8)
            w, h = np.minimum([w, w * np.clip(h / w, 0.7, 1.4)], room - 12).astype(int) // grid * grid
            left, top = (x, y) + rng.integers(6, room - (w, h) - 5)
            left, top = (0 if x == 0 and rng.random() < 0.5 else left), (0 if y == 0 and rng.random() < 0.5 else top)
            left, top = left // grid * grid, top // grid * grid
            label = rng.integers(3)
            image[label, top : top + h, left : left + w] = 255
            bboxes.append([left, top, left + w, top + h])
            labels.append(label)
    return image, torch.tensor(bboxes).float(), torch.tensor(labels)


def agree(found, bboxes, labels, pixels):
    """Each box is found once, within so many pixels, and nothing else is."""
    assert len(found.bboxes) == len(bboxes)
    apart = (found.bboxes[:, None] - bboxes).abs().max(-1).values
    apart[found.labels[:, None] != labels] = math.inf
    assert sorted(apart.argmin(1).tolist()) == list(range(len(bboxes)))
    assert apart.min(1).values.max() < pixels
    return apart.argmin(1)


def test_an_image_of_nothing(oracle, packed):
    (result,) = MultiScaleChipTTA(oracle(), CFG).test_step(packed(torch.zeros(3, 200, 300, dtype=torch.uint8)))
    assert result.pred_instances.bboxes.shape == (0, 4)
    assert result.pred_instances.labels.dtype == torch.int64
    (result,) = MultiScaleChipTTA(oracle('pasted'), CFG).test_step(packed(torch.zeros(3, 20, 30, dtype=torch.uint8)))
    assert result.pred_instances.masks.astype(bool).shape == (0, 20, 30)


def test_no_images(oracle):
    assert MultiScaleChipTTA(oracle(), CFG).test_step(dict(inputs=[], data_samples=[])) == []


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('scales', [[2.0, 1.0, 0.5], [(700, 500), (411, 300), (170, 120)]], ids=['zooms', 'edges'])
@pytest.mark.parametrize('seed', range(3))
def test_boxes_come_back_through_scales_tiles_and_flips(oracle, packed, seed, scales, flip):
    image, bboxes, labels = scene(seed)
    seer = oracle()
    tta = MultiScaleChipTTA(seer, {**CFG, 'scales': scales, 'flip': flip})
    (result,) = tta.test_step(packed(image))
    agree(result.pred_instances, bboxes, labels, 1.0)
    assert sum(shape[0] for shape in seer.shapes) >= 12 * (1 + flip)
    views = tta.choose_views(0, image, result)
    seen = [sample for _, sample in tta.run_views([image], [result], views)]
    for nms in (None, dict(type='soft_nms')):
        tta.nms = nms
        found = tta.merge_preds([seen])[0].pred_instances
        # Each object at one or two scales, in one to four tiles; never a part of it.
        apart = (found.bboxes[:, None] - bboxes).abs().max(-1).values.min(1).values
        assert apart.max() < 1
        assert len(found) > len(bboxes)
        assert (found.scores.diff() <= 0).all()


@pytest.mark.parametrize('masks', ['pasted', 'probabilities'])
def test_masks_come_back_too(oracle, packed, masks):
    image, bboxes, labels = scene(5, grid=2)
    tta = MultiScaleChipTTA(oracle(masks), {**CFG, 'flip': True})
    found = tta.test_step(packed(image))[0].pred_instances
    rows = agree(found, bboxes, labels, 0.5)
    for mask, (x1, y1, x2, y2) in zip(found.masks.astype(bool), bboxes[rows].int().tolist(), strict=True):
        expected = np.zeros((200, 300), bool)
        expected[y1:y2, x1:x2] = True
        assert (mask & expected).sum() / (mask | expected).sum() >= 0.98


def test_each_scale_answers_for_its_own_sizes(oracle, packed):
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    image[0, 10:26, 10:26] = 255  # 16 x 16: the first two scales; 24 x 24: the second alone
    image[0, 100:124, 150:174] = 255
    found = MultiScaleChipTTA(oracle(), {**CFG, 'nms': None, 'max_canvas': 1000}).test_step(packed(image))[0]
    sides = (found.pred_instances.bboxes[:, 2] - found.pred_instances.bboxes[:, 0]).round().int()
    assert sorted(sides.tolist()) == [16, 16, 24]
    every = {**CFG, 'nms': None, 'ranges': None, 'max_canvas': 1000, 'flip': True}
    assert len(MultiScaleChipTTA(oracle(), every).test_step(packed(image))[0].pred_instances) == 12


def test_what_is_kept(oracle, packed):
    image, bboxes, _ = scene(0)
    assert len(MultiScaleChipTTA(oracle(), {**CFG, 'max_per_img': 2}).test_step(packed(image))[0].pred_instances) == 2
    for score_thr, n in ((0.89, len(bboxes)), (0.91, 0)):
        tta = MultiScaleChipTTA(oracle(), {**CFG, 'score_thr': score_thr})
        assert len(tta.test_step(packed(image))[0].pred_instances) == n


def test_what_limits_leave_out_is_counted_and_said_once(oracle, packed, messages):
    image, bboxes, _ = scene(0)
    tta = MultiScaleChipTTA(oracle(), {**CFG, 'max_per_img': 2})
    for result in tta.test_step(packed(image, image)):
        assert result.n_left_out == len(bboxes) - 2
    said = [m for m in messages() if 'more detections that would be drawn are left out by max_per_img=2' in m]
    assert len(said) == 1 and said[0].startswith(f'0.png: {len(bboxes) - 2} ')
    tta.report_thr = 0.95  # the oracle is sure at 0.9
    assert 'n_left_out' not in tta.test_step(packed(image))[0]
    tta.view_limit, tta.report_thr = 1, 0.3
    assert tta.test_step(packed(image))[0].n_full_views > 0


def test_an_image_in_tiles_may_have_more_detections(oracle, packed):
    image, bboxes, _ = scene(0)
    whole = MultiScaleChipTTA(oracle(), {**CFG, 'max_canvas': 10**4})
    tiled = MultiScaleChipTTA(oracle(), {**CFG, 'max_canvas': 300, 'flip': True})
    limits = []
    for tta in whole, tiled:
        tta._merge_views = lambda views, sample, tiles: limits.append(tiles)
        tta.test_step(packed(image))
    finest = [view for view in tiled.choose_views(0, image, packed(image)['data_samples'][0]) if view.scale_idx == 0]
    assert limits == [1, len(finest) // 2]
    assert len(finest) > 2


def test_progress_is_told_view_by_view(oracle, packed):
    tta = MultiScaleChipTTA(oracle(), {**CFG, 'batch_pixels': 1})
    told = []
    tta.on_progress = lambda done, total: told.append((done, total))
    tta.test_step(packed(scene(0)[0]))
    assert told == [(n + 1, len(told)) for n in range(len(told))] and len(told) > 3


def test_images_of_any_sizes_in_a_batch_are_as_one_by_one(oracle, packed):
    scenes = [scene(1), scene(2, 160, 240), scene(3, 300, 200), scene(4, 64, 40)]
    tta = MultiScaleChipTTA(oracle('pasted'), CFG)
    together = tta.test_step(packed(*(image for image, _, _ in scenes)))
    for result, (image, bboxes, labels) in zip(together, scenes, strict=True):
        agree(result.pred_instances, bboxes, labels, 1.0)
        (alone,) = tta.test_step(packed(image))
        assert torch.equal(result.pred_instances.bboxes, alone.pred_instances.bboxes)
        assert torch.equal(result.pred_instances.labels, alone.pred_instances.labels)
        assert list(result.pred_instances.masks) == list(alone.pred_instances.masks)
    assert [result.img_path for result in together] == ['0.png', '1.png', '2.png', '3.png']


@pytest.mark.parametrize('batch_pixels', [1, 90_000, 10**9])
def test_views_of_one_shape_go_together(oracle, packed, batch_pixels):
    seer = oracle()
    image, bboxes, labels = scene(1)
    tta = MultiScaleChipTTA(seer, {**CFG, 'batch_pixels': batch_pixels})
    for result in tta.test_step(packed(image, image)):
        agree(result.pred_instances, bboxes, labels, 1.0)
    assert all(n == 1 or n * height * width <= batch_pixels for n, height, width in seer.shapes)
    n_views = len(tta.choose_views(0, image, packed(image)['data_samples'][0]))
    assert sum(n for n, _, _ in seer.shapes) == 2 * n_views
    if batch_pixels > 10**6:
        assert len(seer.shapes) == len({shape[1:] for shape in seer.shapes}) == 2


def test_ground_truth_and_names_stay_with_the_sample(oracle, packed):
    image, bboxes, labels = scene(1)
    data = packed(image)
    data['data_samples'][0].gt_instances = InstanceData(bboxes=HorizontalBoxes(bboxes), labels=labels)
    (result,) = MultiScaleChipTTA(oracle(), CFG).test_step(data)
    assert torch.equal(result.gt_instances.bboxes, bboxes), 'a tensor, as detectors leave it'
    assert set(result.metainfo_keys()) == {'img_id', 'img_path', 'ori_shape', 'img_shape', 'view_pixels'}
    assert (result.img_id, result.ori_shape, result.img_shape) == (0, (200, 300), (200, 300))


def test_the_detector_is_told_which_image_a_view_is_of(oracle, packed):
    seen = []

    class Reader(oracle):
        def test_step(self, data):
            for view, sample in zip(data['inputs'], data['data_samples'], strict=True):
                seen.append((sample.img_path, sample.img_id, int(view.max())))
            return super().test_step(data)

    images = [torch.full((3, 200, 300), grey, dtype=torch.uint8) for grey in (10, 20)]
    MultiScaleChipTTA(Reader(), {**CFG, 'max_canvas': 1000}).test_step(packed(*images))
    assert sorted(seen) == [('0.png', 0, 10)] * 3 + [('1.png', 1, 20)] * 3


def test_merging_apart_from_viewing(oracle, packed):
    image, bboxes, labels = scene(1)
    tta, data = MultiScaleChipTTA(oracle(), CFG), packed(image)
    seen = tta.run_views(data['inputs'], data['data_samples'], tta.choose_views(0, image, data['data_samples'][0]))
    (merged,) = tta.merge_preds([[sample for _, sample in seen]])
    agree(merged.pred_instances, bboxes, labels, 1.0)


def test_it_builds_from_a_config(detector_cfg, packed):
    preprocessor = dict(type='DetDataPreprocessor', mean=[1, 2, 3], std=[1, 1, 1])
    cfg = dict(type='mmsniper.MultiScaleChipTTA', module=detector_cfg('retinanet'), data_preprocessor=preprocessor)
    tta = MODELS.build(cfg)
    assert tta.module.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    tta.follow(None)
    assert tta.scales == ((2000.0, 1400.0), (1280.0, 800.0), (512.0, 480.0))
    assert tta.ranges == [[0, 90], [32, 180], [75, math.inf]]
    assert tta.nms == dict(type='soft_nms')
    assert (tta.score_thr, tta.max_per_img, tta.mask_thr) == (0.001, None, 0.5)
    cfg = detector_cfg('mask_rcnn')
    cfg.test_cfg.rcnn.mask_thr_binary = 0.4
    assert MultiScaleChipTTA(cfg).mask_thr == 0.4


def test_the_documented_pipeline_is_fine(oracle, write_coco):
    boxes = [dict(bbox=[40, 30, 50, 40])]
    dataset = DATASETS.build(dict(write_coco([(300, 200, boxes)]), pipeline=[*LOAD, PACK], test_mode=True))
    found = MultiScaleChipTTA(oracle(), CFG).test_step(pseudo_collate([dataset[0]]))[0].pred_instances
    assert sorted(found.labels.tolist()) == [0, 1, 2], 'grey is all colours'
    assert (found.bboxes - torch.tensor([40.0, 30, 90, 70])).abs().max() < 1
