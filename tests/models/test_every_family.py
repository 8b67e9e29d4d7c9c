"""Detectors of every family on chips: the loss where all objects are valid, and what reaches what is left out."""

import copy

import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import paa_head
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import InstanceData

from mmsniper.inherit import label_by_range
from mmsniper.models import ValidRange

SIDE = 128
DENSE = ('retinanet', 'atss', 'tood', 'gfl', 'ld', 'vfnet', 'paa', 'rtmdet', 'rtmdet_ins', 'yolox')
SETS = ('detr', 'conditional_detr', 'dab_detr', 'deformable_detr', 'two_stage_deformable_detr', 'dino')
BOXES = [[10.0, 12.0, 60.0, 70.0], [64.0, 60.0, 100.0, 120.0], [20.0, 80.0, 50.0, 110.0]]
EVERYWHERE = [[-4.0 * SIDE, -4.0 * SIDE, 5.0 * SIDE, 5.0 * SIDE]]  # around anchors across the border, too


def bitmaps(bboxes):
    """Boxes as masks."""
    masks = np.zeros((len(bboxes), SIDE, SIDE), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, bboxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return BitmapMasks(masks, SIDE, SIDE)


def chip(bboxes, valid, regions=(), seed=0):
    """An image of noise, and its ground truth as PackChipInputs packs it."""
    bboxes = torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4)
    gt = InstanceData(
        bboxes=bboxes,
        labels=torch.arange(len(bboxes)) % 2,
        valid=torch.tensor(valid, dtype=torch.bool),
        metainfo=dict(valid_range=(0.0, 64.0)),
    )
    ignored = InstanceData(bboxes=torch.tensor(regions, dtype=torch.float).reshape(-1, 4))
    shape = dict(img_shape=(SIDE, SIDE), batch_input_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE))
    sample = DetDataSample(metainfo=shape, gt_instances=gt, ignored_instances=ignored)
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 4 - 2, sample


class Halves:
    """For scikit-learn's mixture of two Gaussians, which PAA asks: what is below the mean, and what is above."""

    def __init__(self, *args, **kwargs):
        pass

    def fit(self, values):
        """Know already."""

    def predict(self, values):
        """0 below the mean, else 1."""
        return (values > values.mean())[:, 0].astype(int)

    def score_samples(self, values):
        """Alike."""
        return np.zeros(len(values))


@pytest.fixture
def build(detector_cfg, monkeypatch):
    """A small detector of ours or of mmdet's, always with the same weights."""
    monkeypatch.setattr(paa_head, 'skm', type('mixture', (), dict(GaussianMixture=Halves)))
    MessageHub.get_current_instance().update_info('epoch', 9)  # TOOD's assigner is ATSS's before

    def built(name, ours=True):
        cfg = ConfigDict(copy.deepcopy(detector_cfg('gfl' if name == 'ld' else name)))
        if name == 'ld':
            teacher = dict(model=copy.deepcopy(cfg))
            cfg.update(type='KnowledgeDistillationSingleStageDetector', teacher_config=teacher)
            cfg.bbox_head.update(type='LDHead', loss_ld=dict(type='KnowledgeDistillationKLDivLoss', T=10))
        if ours:
            label_by_range(cfg)
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg))
        model.init_weights()
        model.train()  # which gives None where there is a teacher
        return model

    return built


def losses_of(model, *chips):
    """Losses of a batch by name; random draws are always the same."""
    torch.manual_seed(1)
    images, samples = zip(*copy.deepcopy(chips), strict=True)
    if 'Ins' in type(model.bbox_head).__name__:
        for sample in samples:
            sample.gt_instances.masks = bitmaps(sample.gt_instances.bboxes)
    return model.parse_losses(model.loss(torch.stack(images), list(samples)))[1]


@pytest.mark.parametrize('name', ['fcos', *DENSE, *SETS])
def test_the_loss_is_mmdets_where_all_objects_are_valid(build, name):
    chips = chip(BOXES, [True] * 3), chip(BOXES[:1], [True], seed=1), chip([], [], seed=2)
    ours, theirs = (losses_of(build(name, own), *chips) for own in (True, False))
    assert ours.keys() == theirs.keys()
    assert theirs['loss'] > 0
    for key, value in theirs.items():
        assert torch.allclose(ours[key], value, rtol=1e-5, atol=1e-7), key


def test_so_it_is_while_tood_starts_with_atss(build):
    MessageHub.get_current_instance().update_info('epoch', 0)
    chips = chip(BOXES, [True] * 3), chip(BOXES[:1], [True], seed=1)
    ours, theirs = (losses_of(build('tood', own), *chips) for own in (True, False))
    assert torch.allclose(ours['loss'], theirs['loss'], rtol=1e-5)


@pytest.mark.parametrize('name', ['fcos', *DENSE, *SETS])
def test_chips_of_every_kind_train(build, mixed_chips, name):
    """In range, out of range, cut, without objects, a crowd, long and thin; and each kind alone."""
    model = build(name)
    for chips in (mixed_chips, *([one, one] for one in mixed_chips[:3])):
        batch = model.data_preprocessor(pseudo_collate(copy.deepcopy(chips)), training=True)
        if 'Ins' not in type(model.bbox_head).__name__:
            for sample in batch['data_samples']:
                del sample.gt_instances.masks
        torch.manual_seed(1)
        total, parts = model.parse_losses(model(**batch, mode='loss'))
        assert all(torch.isfinite(value) for value in parts.values()), parts
        model.zero_grad()
        total.backward()
        gradients = {part: value.grad for part, value in model.named_parameters() if value.requires_grad}
        missing = {part for part, gradient in gradients.items() if gradient is None}
        # Where nothing is valid, mmdet's masks have none, for which configs on chips set find_unused_parameters.
        assert not missing or (name == 'rtmdet_ins' and all('kernel' in part for part in missing)), missing
        assert all(torch.isfinite(gradient).all() for gradient in gradients.values() if gradient is not None)


@pytest.mark.parametrize('name', ['fcos', *DENSE, *SETS])
def test_nothing_is_learned_where_all_is_an_ignored_region(build, name):
    parts = losses_of(build(name), chip([], [], EVERYWHERE), chip(BOXES, [False] * 3, EVERYWHERE))
    assert all(torch.isfinite(value) for value in parts.values())
    scores = {key: value for key, value in parts.items() if key.endswith(('loss_cls', 'loss_obj'))}
    assert scores and all(value == 0 for value in scores.values()), scores


CASES = dict(
    ordinary=(BOXES, [True, False, True], ()),
    overlapping=([[30.0, 30.0, 60.0, 60.0], [20.0, 20.0, 90.0, 90.0]], [True, False], ()),
    none_valid=(BOXES, [False] * 3, ()),
    region=(BOXES, [True, True, False], [[70.0, 0.0, 128.0, 60.0]]),
    nothing=([], [], ()),
)


@pytest.mark.parametrize('name', ['fcos', *DENSE, *SETS])
def test_classification_teaches_exactly_what_has_a_label(build, name, monkeypatch):
    model, gt_inds, scores = build(name), [], []
    inner, by_feat = ValidRange.assign, model.bbox_head.loss_by_feat
    targets = model.bbox_head._get_targets_single

    def fcos_targets(*args, **kwargs):
        found = targets(*args, **kwargs)
        gt_inds.append(found[0].where(found[0] < 0, (found[0] < 2).long()))
        return found

    def assign(self, *args, **kwargs):
        result = inner(self, *args, **kwargs)
        gt_inds.append(result.gt_inds.clone())
        return result

    def loss_by_feat(*args, **kwargs):
        found = args[2] if name == 'yolox' else args[0]  # objectness, which decides what is background
        scores.extend([found] if name in SETS else found)
        for level in scores:
            level.retain_grad()
        if name in SETS:  # first predictions are near nothing: let half of them be on an object
            on_object = args[1].detach().clone()
            on_object[:, :, ::2] = bbox_xyxy_to_cxcywh(torch.tensor(BOXES[:1])) / SIDE
            args = (args[0], on_object, *args[2:])
        return by_feat(*args, **kwargs)

    if name == 'fcos':
        monkeypatch.setattr(model.bbox_head, '_get_targets_single', fcos_targets)
    monkeypatch.setattr(ValidRange, 'assign', assign)
    monkeypatch.setattr(model.bbox_head, 'loss_by_feat', loss_by_feat)
    for case, of_first in CASES.items():
        gt_inds.clear()
        scores.clear()
        parts = losses_of(model, chip(*of_first), chip(BOXES[:2], [False, True], seed=1))
        sum(value for key, value in parts.items() if key.endswith(('loss_cls', 'loss_obj'))).backward()
        if name in SETS:
            (gradients,) = (level.grad for level in scores)
            n_layers, n_images = gradients.shape[:2]
            labels = torch.stack(gt_inds[: n_layers * n_images]).view(n_layers, n_images, -1)
            gradients = gradients[:, :, -labels.shape[2] :]  # behind the denoising queries
        else:
            levels = [level.grad.permute(0, 2, 3, 1).reshape(2, -1, 1 if name == 'yolox' else 2) for level in scores]
            gradients, labels = torch.cat(levels, 1), torch.stack(gt_inds)
        reached = (gradients != 0).any(-1)
        assert not reached[labels < 0].any(), case
        if name != 'paa':  # which does without some of its positives
            assert reached[labels >= 0].all(), case
        assert (labels < 0).any() and (labels == 0).any() and (labels > 0).any()
