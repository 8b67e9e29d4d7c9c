"""Detectors with a FocusHead: what the branch adds, and that all else stays as it was."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import InstanceData

from mmsniper.apis.weights import check_weights
from mmsniper.models import MultiScaleChipTTA

NAMES = ['rpn', 'faster_rcnn', 'mask_rcnn', 'cascade_mask_rcnn', 'retinanet', 'atss', 'fcos']


@pytest.fixture
def pair(detector_cfg):
    """Builds a detector without and with a branch, from the same seed."""

    def build(name, **head):
        plain = detector_cfg(name)
        focused = dict(
            copy.deepcopy(plain),
            type='mmsniper.WithFocus',
            detector=plain.type,
            focus_head=dict(dict(feat_channels=8), **head),
        )
        models = []
        for cfg in (plain, focused):
            torch.manual_seed(0)
            model = MODELS.build(copy.deepcopy(cfg))
            model.init_weights()
            models += [model, torch.rand(1)]
        return models

    return build


def batch():
    """Two chips of 128 px with objects, and what mmdet's preprocessor leaves of them."""
    samples = []
    for bboxes, sizes in (([[10, 10, 40, 44], [60, 0, 128, 128]], [32, 300]), ([[0, 0, 20, 20]], [20])):
        sample = DetDataSample(metainfo=dict(img_shape=(128, 128), batch_input_shape=(128, 128), pad_shape=(128, 128)))
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0), ori_shape=(128, 128)))
        masks = dict(masks=bitmaps(bboxes))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(bboxes).float(),
            labels=torch.zeros(len(bboxes)).long(),
            sizes=torch.tensor(sizes).float(),
            **masks,
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.tensor([[90.0, 90, 100, 100]]), labels=torch.zeros(1).long()
        )
        samples.append(sample)
    torch.manual_seed(1)
    return torch.randn(2, 3, 128, 128), samples


def bitmaps(bboxes):
    masks = np.zeros((len(bboxes), 128, 128), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, bboxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return BitmapMasks(masks, 128, 128)


@pytest.mark.parametrize('name', NAMES)
def test_the_detector_stays_as_it_was(pair, name):
    plain, drawn, focused, drawn_too = pair(name)
    assert isinstance(focused, type(plain))
    assert drawn == drawn_too, 'the same random numbers'
    weights, more = plain.state_dict(), focused.state_dict()
    assert set(more) - set(weights) == {
        f'focus_head.{part}' for part in ('conv.weight', 'conv.bias', 'score.weight', 'score.bias')
    }
    assert list(more)[: len(weights)] == list(weights)
    assert all(torch.equal(weights[key], more[key]) for key in weights)

    losses = []
    for model in (plain, focused):
        inputs, samples = batch()
        torch.manual_seed(2)
        losses.append(model.train().loss(inputs, samples))
        losses.append(torch.rand(1))
    extra = losses[2].pop('loss_focus')
    assert extra > 0 and extra.requires_grad
    assert set(losses[0]) == set(losses[2])
    for key, value in losses[0].items():
        for one, other in zip(
            value if isinstance(value, list) else [value],
            losses[2][key] if isinstance(value, list) else [losses[2][key]],
            strict=True,
        ):
            assert torch.equal(one, other), key
    assert losses[1] == losses[3], 'the same random numbers in a step'

    found = []
    for model in (plain, focused):
        inputs, samples = batch()
        found.append(model.eval().predict(inputs, samples))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)
        assert other.focus.shape == (8, 8)
        assert ((other.focus > 0) & (other.focus < 1)).all()


def test_the_backbone_runs_once(pair):
    *_, focused, _ = pair('faster_rcnn')
    calls = []
    focused.backbone.register_forward_hook(lambda *_: calls.append(1))
    inputs, samples = batch()
    focused.loss(inputs, samples)
    focused.eval().predict(*batch())
    assert len(calls) == 2


def test_the_branch_learns_what_is_small(pair):
    *_, focused, _ = pair('faster_rcnn')
    inputs, samples = batch()
    targets = focused.focus_head.targets(samples, (8, 8))
    assert targets.shape == (2, 8, 8)
    assert (targets == 1).sum(dim=(1, 2)).tolist() == [9, 4], 'cells of the object of 32 px, and of that of 20'
    assert (targets[0] == 255).sum() == 4, 'the ignored region, which is in 2 x 2 cells'
    feature = torch.randn(2, 16, 8, 8)
    optimizer = torch.optim.SGD(focused.focus_head.parameters(), 0.5)
    for _ in range(200):
        loss = focused.focus_head.loss(feature, samples)['loss_focus']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = focused.focus_head.predict(feature)
    assert found[targets == 1].min() > 0.9 and found[targets == 0].max() < 0.1


@pytest.mark.parametrize('stride', [8, 16])
def test_a_checkpoint_loads_with_and_without_the_branch(pair, messages, stride):
    plain, _, focused, _ = pair('retinanet', stride=stride)
    assert focused.focus_level == {8: 0, 16: 1}[stride]
    for parameter in focused.parameters():
        parameter.data.add_(0.1)
    load_state_dict(plain, focused.state_dict(), strict=False)
    assert all(torch.equal(value, focused.state_dict()[key]) for key, value in plain.state_dict().items())
    assert focused.focus_head.trained
    load_state_dict(focused, plain.state_dict(), strict=False)
    assert not focused.focus_head.trained
    assert any('checkpoint has no FocusHead' in message for message in messages())
    focused.train().loss(*batch())
    assert focused.focus_head.trained


def test_a_stride_that_does_not_exist_is_refused(pair):
    with pytest.raises(
        ValueError, match=r'RetinaNet has no feature map of stride 4; its strides are \[8, 16, 32, 64, 128\]'
    ):
        pair('retinanet', stride=4)


@pytest.mark.parametrize('kind', ['ResNet', 'NoSuchThing'])
def test_what_is_no_detector_is_refused(kind):
    with pytest.raises(TypeError, match=f"detector='{kind}' is no detector"):
        MODELS.build(dict(type='mmsniper.WithFocus', detector=kind))


def test_copies_and_pickles_are_whole(pair):
    *_, focused, _ = pair('faster_rcnn')
    focused.loss(*batch())
    focused(*batch(), mode='tensor')
    focused.extract_feat(batch()[0])
    for other in copy.deepcopy(focused), pickle.loads(pickle.dumps(focused)):
        assert type(other) is type(focused), 'as an average of weights does'
        assert all(torch.equal(value, focused.state_dict()[key]) for key, value in other.state_dict().items())
        assert other.eval().predict(*batch())[0].focus.shape == (8, 8)


def test_a_branch_of_another_width_is_not_taken(pair, messages):
    *_, focused, _ = pair('retinanet')
    weights = {
        key: value[:4] if 'conv.' in key and 'focus' in key else value for key, value in focused.state_dict().items()
    }
    load_state_dict(focused, weights, strict=False)
    assert not focused.focus_head.trained
    assert any('is another one, by focus_head.conv.weight' in message for message in messages())


def test_a_map_may_be_named(pair):
    *_, focused, _ = pair('retinanet', stride=16, level=1, in_channels=16)
    assert focused.loss(*batch())['loss_focus'] > 0
    *_, wrong, _ = pair('retinanet', stride=16, level=7, in_channels=16)
    with pytest.raises(ValueError, match='level=7, but there are 5 feature maps'):
        wrong.loss(*batch())
    *_, other, _ = pair('retinanet', stride=16, level=2, in_channels=16)
    with pytest.raises(ValueError, match='level=2 has 4 cells of 128 px, which stride=16 does not'):
        other.loss(*batch())
    for alone in (dict(level=1), dict(in_channels=16)):
        with pytest.raises(ValueError, match='level and in_channels are given together, or neither'):
            pair('retinanet', **alone)


def test_detr_sees_focus_chips_no_smaller_than_a_chip(pair):
    *_, detector, _ = pair('deformable_detr')
    tta = MultiScaleChipTTA(detector.eval(), dict(scales=[1.0, 0.5], ranges=[(None, 40), (20, None)], focus={}))
    sample = DetDataSample(metainfo=dict(img_path='0', ori_shape=(400, 600), img_shape=(400, 600), scale_factor=(1, 1)))
    detector.focus_head.predict = lambda feature: (
        (torch.arange(feature.shape[-1]) == 5).float().expand(len(feature), *feature.shape[-2:])
        * (torch.arange(feature.shape[-2]) == 4).float()[:, None]
    )
    sides = {}
    for least in (0, 288):
        tta.least = least
        image = torch.zeros(3, 400, 600, dtype=torch.uint8)
        (found,) = tta.test_step(dict(inputs=[image], data_samples=[copy.deepcopy(sample)]))
        ((x1, y1, x2, y2),) = found.focus_chips[0].tolist()
        sides[least] = (x2 - x1, y2 - y1)
    assert sides[0] == (256, 256) and all(286 < side <= 288 for side in sides[288])


@pytest.mark.parametrize('zoom', [3.0, 1.667, 1.5, 2.0])
def test_a_focus_chip_of_detr_is_one_view(pair, zoom):
    *_, detector, _ = pair('deformable_detr')
    tta = MultiScaleChipTTA(detector.eval(), dict(scales='planner', ranges='planner', focus={}))
    tta.follow(dict(scales=[zoom, 0.8], valid_ranges=[(None, 40), (20, None)], chip_size=256, stride=32))
    detector.focus_head.predict = lambda feature: torch.zeros(len(feature), *feature.shape[-2:]).index_put(
        (torch.tensor(0), torch.tensor(4), torch.tensor(5)), torch.tensor(1.0)
    )
    shown = []
    run_views = tta.run_views
    tta.run_views = lambda images, samples, views, *args, **kwargs: (
        shown.append(views) or run_views(images, samples, views, *args, **kwargs)
    )
    sample = DetDataSample(metainfo=dict(img_path='0', ori_shape=(300, 320), img_shape=(300, 320), scale_factor=(1, 1)))
    tta.test_step(dict(inputs=[torch.zeros(3, 300, 320, dtype=torch.uint8)], data_samples=[sample]))
    fine = [view for views in shown for view in views if view.scale_idx == 0]
    assert len(fine) == len({view.chip for view in fine}) > 0


@pytest.mark.parametrize('name', ['faster_rcnn', 'deformable_detr'])
def test_what_is_found_does_not_depend_on_the_other_images_of_a_batch(pair, name):
    """A real network, with group norm or attention over all that it sees, on images of several sizes."""
    *_, detector, _ = pair(name)
    detector.focus_head.trained = True
    detector.eval()
    cfg = dict(scales=[2.0, 1.0], ranges=[(None, 40), (20, None)], score_thr=0.0, focus=dict(threshold=0.5, dilate=1))
    tta = MultiScaleChipTTA(detector, cfg)
    shapes = [(100, 160), (90, 150), (128, 128)]
    images = [torch.randint(0, 255, (3, *shape), dtype=torch.uint8) for shape in shapes]
    samples = [
        DetDataSample(
            metainfo=dict(img_id=n, img_path=f'{n}.png', ori_shape=shape, img_shape=shape, scale_factor=(1, 1))
        )
        for n, shape in enumerate(shapes)
    ]
    together = tta.test_step(dict(inputs=images, data_samples=copy.deepcopy(samples)))
    for image, sample, of_batch in zip(images, samples, together, strict=True):
        (alone,) = tta.test_step(dict(inputs=[image], data_samples=[copy.deepcopy(sample)]))
        assert alone.focus_chips[0].tolist() == of_batch.focus_chips[0].tolist()
        assert len(alone.pred_instances) == len(of_batch.pred_instances) > 0
        torch.testing.assert_close(alone.pred_instances.bboxes, of_batch.pred_instances.bboxes, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ('head', 'error', 'said'),
    [
        (dict(stride=16.0), ValueError, 'stride is a whole number'),
        (dict(feat_channels=0), ValueError, 'feat_channels is a whole number'),
        (dict(loss_weight=-1), ValueError, 'loss_weight is a number >= 0'),
        (dict(width=3), TypeError, "no setting .'width'.; there are .*stride"),
    ],
)
def test_bad_settings_of_the_branch_are_named(pair, head, error, said):
    with pytest.raises(error, match=said):
        pair('retinanet', **head)


def test_weights_of_both_fit_the_check_of_inference(pair):
    plain, _, focused, _ = pair('faster_rcnn')
    check_weights(plain, dict(state_dict=focused.state_dict()))
    check_weights(focused, dict(state_dict=plain.state_dict()))
    weights = focused.state_dict()
    weights.pop('focus_head.score.bias')
    with pytest.raises(ValueError, match='1 are missing .focus_head.score.bias'):
        check_weights(focused, dict(state_dict=weights))
