"""Real detectors with random weights under MultiScaleChipTTA."""

import math

import numpy as np
import pytest
import torch

from mmsniper.models import MultiScaleChipTTA
from mmsniper.models.masks import EncodedMasks
from mmsniper.models.merging import from_view
from mmsniper.models.padding import padded_to_strides

# 0.8 shows an image whole, 1.6 in tiles.
CFG = dict(scales=[1.6, 0.8], ranges=[(None, 40), (30, None)], max_canvas=160, score_thr=0.0)
ONE_TO_ONE = dict(scales=[1.0], ranges=None, nms=None, score_thr=0.0, max_per_img=-1)
WITH_MASKS = ('mask_rcnn', 'cascade_mask_rcnn', 'rtmdet_ins', 'solov2')
BEYOND_THE_IMAGE = ('centernet', 'cornernet', 'tood', 'yolox')  # which leave boxes as they are
MODERN = ('rtmdet', 'deformable_detr', 'dino')
DETECTORS = ('faster_rcnn', 'retinanet', 'fcos', 'rpn', *MODERN, *BEYOND_THE_IMAGE, *WITH_MASKS)


def picture(seed, width=140, height=100):
    """Noise of several grains, (3, H, W)."""
    g = torch.Generator().manual_seed(seed)
    image = torch.zeros(3, height, width)
    for side in (3, 10, 40):
        coarse = torch.rand(1, 3, side, side, generator=g)
        image += torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear')[0]
    return (image / 3 * 255).byte()


def usual(detector, data):
    """What the detector itself says of whole images, padded as its strides need."""
    for sample in data['data_samples']:
        height, width = sample.ori_shape
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0), border=[0, height, 0, width]))
    preprocessor = detector.data_preprocessor
    own, preprocessor.pad_size_divisor = preprocessor.pad_size_divisor, 32
    with torch.no_grad():
        found = [sample.pred_instances for sample in detector.test_step(data)]
    preprocessor.pad_size_divisor = own
    return found


@pytest.mark.smoke
@pytest.mark.parametrize('name', DETECTORS)
def test_every_kind_of_detector(detector, packed, name):
    tta = MultiScaleChipTTA(detector(name), {**CFG, 'flip': True}).eval()
    results = tta.test_step(packed(picture(0), picture(1, 90, 120)))
    assert len(results) == 2
    for result, (width, height) in zip(results, ((140, 100), (90, 120)), strict=True):
        found = result.pred_instances
        assert len(found) > 5
        assert torch.isfinite(found.bboxes).all() and torch.isfinite(found.scores).all()
        if name not in BEYOND_THE_IMAGE:
            assert (found.bboxes[:, :2] >= -1e-3).all()
            assert (found.bboxes[:, 2:] <= torch.tensor([width, height]) + 1e-3).all()
        assert (found.scores.diff() <= 0).all()
        assert ('masks' in found) == (name in WITH_MASKS)
        if 'masks' in found:
            assert isinstance(found.masks, EncodedMasks)
            assert found.masks.astype(bool).shape == (len(found), height, width)
            assert found.masks.astype(bool).any()


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('name', DETECTORS)
def test_what_is_found_in_the_border_of_a_small_view_is_nothing(detector, packed, name, flip):
    tta = MultiScaleChipTTA(detector(name), dict(ONE_TO_ONE, scales=[1.0, 0.5], flip=flip)).eval()
    tta.follow(dict(scales=[1.0, 0.5], valid_ranges=[(None, 50), (30, None)], chip_size=192, stride=16))
    sizes = (140, 100), (200, 90)
    for result, (width, height) in zip(tta.test_step(packed(picture(0), picture(1, *sizes[1]))), sizes, strict=True):
        found = result.pred_instances
        assert len(found) > 5 and torch.isfinite(found.bboxes).all()
        if (width, height) == sizes[0] or name not in BEYOND_THE_IMAGE:  # no border along 200 px
            assert (found.bboxes >= -1e-3).all() and (found.bboxes <= torch.tensor([width, height] * 2) + 1e-3).all()
        assert (found.bboxes[:, 2:] > found.bboxes[:, :2]).all() or name == 'solov2'
        if 'masks' in found:
            assert found.masks.astype(bool).shape == (len(found), height, width)


@pytest.mark.parametrize('name', ['detr', 'deformable_detr', 'dino'])
def test_detr_sees_views_of_a_chips_size(detector, packed, name):
    """It tells boxes as shares of the sample, which in training is a chip."""
    planner = dict(scales=[3.0, 0.5], valid_ranges=[(None, 40), (30, None)], chip_size=192, stride=16)
    tta, seen = MultiScaleChipTTA(detector(name), dict(scales='planner', ranges='planner')).eval(), []
    tta.module.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    tta.follow(planner)
    tta.test_step(packed(picture(0)))
    assert set(seen) == {(192, 192)}
    tta.given_canvas = 2048
    tta.follow(planner)
    assert tta.max_canvas == 2048


@pytest.mark.parametrize('name', DETECTORS)
def test_one_whole_view_is_the_detectors_own_answer(detector, packed, name):
    module = detector(name)
    tta = MultiScaleChipTTA(module, ONE_TO_ONE).eval()
    (expected,) = usual(module, packed(picture(0)))
    (result,) = tta.test_step(packed(picture(0)))
    found = result.pred_instances
    order = expected.scores.argsort(descending=True, stable=True)
    assert len(found) == len(order) > 5
    assert torch.allclose(found.scores, expected.scores[order], atol=1e-5)
    assert torch.equal(found.labels, expected.labels[order])
    if name != 'solov2':  # which gives no boxes
        assert torch.allclose(found.bboxes, expected.bboxes[order], atol=1e-3)
    if name in WITH_MASKS:
        ours, theirs = found.masks.astype(bool), expected.masks[order].bool().numpy()
        some = theirs.any((1, 2))
        assert some.sum() > 10 and not theirs.all((1, 2)).any()
        assert not ours[~some].any()
        assert ((ours & theirs).sum((1, 2))[some] / (ours | theirs).sum((1, 2))[some] >= 0.98).all()
    if name == 'solov2':
        for (x1, y1, x2, y2), mask in zip(found.bboxes.tolist(), ours, strict=True):
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)


@pytest.mark.parametrize('name', ['mask_rcnn', 'cascade_mask_rcnn', 'retinanet'])
def test_a_batch_of_two_sizes_is_as_one_by_one(detector, packed, name):
    tta = MultiScaleChipTTA(detector(name), {**CFG, 'nms': None, 'max_per_img': -1}).eval()
    images = picture(0), picture(1, 90, 120)
    for together, image in zip(tta.test_step(packed(*images)), images, strict=True):
        (alone,) = tta.test_step(packed(image))
        together, alone = together.pred_instances, alone.pred_instances
        # Scores of random weights are close to each other: compare without their order.
        assert len(together) == len(alone) > 20
        apart = (together.bboxes[:, None] - alone.bboxes).abs().sum(-1)
        apart += 1e3 * (together.scores[:, None] - alone.scores).abs()
        apart[together.labels[:, None] != alone.labels] = math.inf
        assert apart.min(1).values.max() < 0.05 and apart.min(0).values.max() < 0.05


def test_a_batch_where_one_image_has_no_detections(detector, packed):
    for name in ('mask_rcnn', 'cascade_mask_rcnn'):
        module = detector(name)
        tta = MultiScaleChipTTA(module, {**ONE_TO_ONE}).eval()
        most = [tta.test_step(packed(picture(seed)))[0].pred_instances.scores[0].item() for seed in range(4)]
        low, high = int(np.argmin(most)), int(np.argmax(most))
        module.roi_head.test_cfg.score_thr = (most[low] + most[high]) / 2
        none, some = tta.test_step(packed(picture(low), picture(high)))
        assert len(none.pred_instances) == 0 < len(some.pred_instances)
        assert none.pred_instances.masks.astype(bool).shape == (0, 100, 140)
        assert len(some.pred_instances.masks) == len(some.pred_instances)


def test_proposals_of_all_views_are_put_together(detector, packed):
    cfg = dict(scales=[1.6, 0.8], ranges=None, max_canvas=160)  # an RPN's other defaults keep all
    tta, data = MultiScaleChipTTA(detector('rpn'), cfg).eval(), packed(picture(0))
    assert tta.nms is None
    views = tta.choose_views(0, data['inputs'][0], data['data_samples'][0])
    assert len(views) == 3
    every = []
    for view in views:
        height, width = view.shape
        shown = packed(view.cut(data['inputs'][0]))
        assert shown['inputs'][0].shape == (3, height, width)
        every.append(from_view(usual(tta.module, shown)[0], view, (140, 100), (0.0, math.inf)))
    (result,) = tta.test_step(data)
    found = result.pred_instances
    expected = torch.cat([part.bboxes for part in every])
    scores = torch.cat([part.scores for part in every])
    assert len(found) == len(expected) > 100
    order = scores.argsort(descending=True, stable=True)
    assert torch.allclose(found.scores, scores[order], atol=1e-4)
    apart = (found.bboxes[:, None] - expected).abs().max(-1).values
    assert apart.min(1).values.max() < 0.01


@pytest.mark.parametrize(('own', 'used'), [(1, 32), (32, 32), (128, 128)])
def test_a_detector_pads_to_its_strides(detector, packed, own, used):
    module, shapes = detector('retinanet'), []
    module.data_preprocessor.pad_size_divisor = own
    module.backbone.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape[-2:])))
    MultiScaleChipTTA(module, ONE_TO_ONE).eval().test_step(packed(picture(0)))
    assert shapes == [(math.ceil(100 / used) * used, math.ceil(140 / used) * used)]
    assert module.data_preprocessor.pad_size_divisor == own, 'as it was'
    with pytest.raises(KeyError), padded_to_strides(module):
        raise KeyError
    assert module.data_preprocessor.pad_size_divisor == own


@pytest.mark.parametrize('mask_thr', [0.45, 0.55])
def test_masks_end_where_the_detectors_own_threshold_says(detector, packed, mask_thr):
    module = detector('mask_rcnn')
    module.roi_head.mask_head.conv_logits.weight.data /= 100  # clear enough to have an edge, soft enough to move it
    (usually,) = usual(module, packed(picture(0)))
    module.test_cfg.rcnn.mask_thr_binary = module.roi_head.test_cfg.mask_thr_binary = mask_thr
    (expected,) = usual(module, packed(picture(0)))
    found = MultiScaleChipTTA(module, ONE_TO_ONE).eval().test_step(packed(picture(0)))[0].pred_instances
    theirs = expected.masks[expected.scores.argsort(descending=True, stable=True)].numpy()
    ours = found.masks.astype(bool)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.99
    assert (usually.masks & expected.masks).sum() / (usually.masks | expected.masks).sum() < 0.9


@pytest.mark.parametrize(
    ('cfg', 'kept'), [(dict(), (0.0, -1)), (dict(max_per_img=7), (0.0, 7)), (dict(score_thr=0.2), (0.2, -1))], ids=str
)
def test_an_rpn_keeps_all_unless_told_otherwise(detector, cfg, kept):
    tta = MultiScaleChipTTA(detector('rpn'), cfg)
    assert (tta.score_thr, tta.max_per_img) == kept


def test_a_panoptic_segmentor_is_refused(detector):
    with pytest.raises(ValueError, match='merges pred_instances, which PanopticFPN does not predict'):
        MultiScaleChipTTA(detector('panoptic_fpn'))
