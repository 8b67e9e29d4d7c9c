import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.evaluation.metrics import CocoMetric, DumpDetResults
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import ConfigDict
from mmengine.fileio import load
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from torch import nn

from mmsniper.models.masks import EncodedMasks, MaskPatch, crop_patches, encode, unpasted_masks

WIDTH, HEIGHT = 40, 30
SHAPES = dict(
    empty=np.s_[0:0, 0:0],
    full=np.s_[:, :],
    inside=np.s_[5:20, 7:30],
    top=np.s_[:9, 7:30],
    bottom=np.s_[-1:, 7:30],
    left=np.s_[5:20, :1],
    right=np.s_[5:20, -9:],
    columns=np.s_[:, 3:8],
    first_pixel=np.s_[:1, :1],
    last_pixel=np.s_[-1:, -1:],
    chequered=np.s_[::2, ::3],
)


def drawn(where):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[where] = 1
    return mask


def plain(mask):
    """COCO's own encoding of a whole mask."""
    return coco_mask.encode(np.asfortranarray(mask))


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.fixture
def masks():
    """(three masks (3, H, W) bool, the same encoded)."""
    whole = np.stack([drawn(SHAPES[name]) for name in ('inside', 'full', 'empty')])
    return torch.from_numpy(whole).bool(), EncodedMasks([plain(mask) for mask in whole], (WIDTH, HEIGHT))


@pytest.fixture
def sample(masks):
    """A data sample with encoded masks, and the same with a tensor."""
    bboxes = torch.tensor([[7.0, 5, 30, 20], [0, 0, WIDTH, HEIGHT], [0, 0, 1, 1]])
    both = []
    for kind in (masks[1], masks[0]):
        instances = InstanceData(bboxes=bboxes, scores=torch.tensor([0.9, 0.8, 0.7]), labels=torch.tensor([0, 1, 0]))
        instances.masks = kind
        meta = dict(img_id=1, ori_shape=(HEIGHT, WIDTH), img_path='1.png')
        both.append(DetDataSample(pred_instances=instances, metainfo=meta))
    return both


def test_no_masks():
    none = EncodedMasks([], (WIDTH, HEIGHT))
    assert len(none) == 0
    assert none.astype(bool).shape == (0, HEIGHT, WIDTH)
    assert encode_mask_results(none.numpy()) == []
    assert len(EncodedMasks.cat([none, none])) == 0
    assert crop_patches(torch.zeros(0, HEIGHT, WIDTH, dtype=bool)) == []


@pytest.mark.parametrize('name', SHAPES)
def test_a_pasted_mask_is_cropped_and_encoded_as_coco_does(name):
    mask = drawn(SHAPES[name])
    (patch,) = crop_patches(torch.from_numpy(mask[None]).bool())
    assert patch.values.numel() <= max(mask.size, 1)
    assert encode(patch, (WIDTH, HEIGHT)) == plain(mask)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 9), st.integers(1, 9))
def test_any_pasted_mask(seed, density, width, height):
    mask = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    (patch,) = crop_patches(torch.from_numpy(mask[None]).bool())
    assert encode(patch, (width, height)) == plain(mask)


SIDES = st.just(0.0) | st.floats(0.01, 80)


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(st.floats(-20, 60), st.floats(-20, 50), SIDES, SIDES),
    st.sampled_from([1, 7, 28]),
    st.sampled_from([0.0, 0.5, 0.9]),
)
@example(0, (0.0, 0.0, 40.0, 30.0), 28, 0.0)
@example(0, (60.0, 0.0, 5.0, 5.0), 28, 0.0)
@example(0, (-20.0, -20.0, 5.0, 5.0), 28, 0.0)
@example(0, (3.0, 3.0, 0.0, 5.0), 28, 0.0)
def test_a_patch_is_pasted_as_mmdet_does(seed, box, side, low):
    values = torch.rand(side, side, generator=torch.Generator().manual_seed(seed)) * (1 - low) + low
    x, y, width, height = box
    bbox = torch.tensor([x, y, x + width, y + height])
    rle = encode(MaskPatch(values, bbox), (WIDTH, HEIGHT))
    assert rle['size'] == [HEIGHT, WIDTH]
    if bbox[2] > bbox[0] and bbox[3] > bbox[1]:
        pasted, _ = _do_paste_mask(values[None, None], bbox[None], HEIGHT, WIDTH, skip_empty=False)
        unclear = ((pasted[0] - 0.5).abs() < 1e-4).numpy()
        apart = coco_mask.decode(rle) != (pasted[0] >= 0.5).numpy()
        assert not (apart & ~unclear).any()
        assert rle == plain(coco_mask.decode(rle)), 'the shortest code there is'
    else:
        assert coco_mask.area(rle) == 0


@pytest.mark.parametrize('strip_pixels', [1, 7, 100])
@pytest.mark.parametrize('box', [(3.3, 2.1, 35.7, 26.4), (-9.0, -9.0, 60.0, 50.0), (20.5, 4.0, 21.5, 5.0)])
def test_a_patch_is_the_same_in_strips(monkeypatch, strip_pixels, box):
    values = torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
    patches = [MaskPatch(values, torch.tensor(box)), MaskPatch(torch.ones(5, 5), torch.tensor(box))]
    whole = [encode(patch, (WIDTH, HEIGHT)) for patch in patches]
    assert coco_mask.area(whole[1]) > 0
    monkeypatch.setattr('mmsniper.models.masks.STRIP_PIXELS', strip_pixels)
    assert [encode(patch, (WIDTH, HEIGHT)) for patch in patches] == whole


def predict(head, preds, bboxes, labels, threshold=0.5, **options):
    """Masks of one image by a head's own method."""
    results = InstanceData(bboxes=bboxes.clone(), labels=labels)
    meta = dict(ori_shape=(HEIGHT * 4, WIDTH * 4), scale_factor=(1.0, 1.0))
    cfg = ConfigDict(mask_thr_binary=threshold)
    return head.predict_by_feat((preds,), [results], [meta], cfg, rescale=True, **options)[0].masks


@pytest.mark.parametrize('threshold', [0.5, 0.3])
@pytest.mark.parametrize('options', [dict(), dict(class_agnostic=True), dict(activate_map=True)], ids=str)
def test_fcn_masks_are_the_heads_own(options, threshold):
    agnostic, activated = options.get('class_agnostic', False), options.get('activate_map', False)
    head = FCNMaskHead(num_convs=0, num_classes=3, class_agnostic=agnostic)
    g = torch.Generator().manual_seed(0)
    preds = torch.randn(20, 1 if agnostic else 3, 7, 7, generator=g)
    preds = nn.functional.interpolate(preds, (28, 28), mode='bilinear')
    labels = torch.randint(0, 3, (20,), generator=g)
    corner = torch.rand(20, 2, generator=g) * 100 - 10
    bboxes = torch.cat([corner, corner + 5 + torch.rand(20, 2, generator=g) * 100], 1)
    given_preds = preds.sigmoid() if activated else preds
    usual = predict(head, given_preds, bboxes, labels, threshold, activate_map=activated).numpy()
    with unpasted_masks(nn.Sequential(head)):
        values = predict(head, given_preds, bboxes, labels, threshold, activate_map=activated)
    assert values.shape == (20, 28, 28)
    chosen = preds.sigmoid()[range(20), labels * (not agnostic)]
    assert torch.allclose(values, chosen)
    assert usual.any((1, 2)).all()
    size = (WIDTH * 4, HEIGHT * 4)
    for value, bbox, mask in zip(values, bboxes, usual, strict=True):
        ours = coco_mask.decode(encode(MaskPatch(value, bbox), size, threshold)).astype(bool)
        # Below 0.5 a mask reaches beyond its box, which mmdet's pasting also cuts, a pixel later.
        assert (ours != mask).sum() == 0 if threshold == 0.5 else iou(ours, mask) > 0.98


def test_heads_paste_again_afterwards():
    class Other(FCNMaskHead):
        def predict_by_feat(self):
            return 'its own'

    heads = nn.ModuleList([FCNMaskHead(num_classes=3), Other(num_classes=3)])
    usual = [head.predict_by_feat for head in heads]
    with unpasted_masks(heads):
        assert heads[0].predict_by_feat != usual[0]
        assert heads[1].predict_by_feat() == 'its own'
    with pytest.raises(KeyError), unpasted_masks(heads):
        raise KeyError
    assert [head.predict_by_feat for head in heads] == usual
    preds, labels = torch.zeros(0, 3, 28, 28), torch.zeros(0, dtype=torch.long)
    with unpasted_masks(heads):
        assert predict(heads[0], preds, torch.zeros(0, 4), labels).shape == (0, 28, 28)
    assert predict(heads[0], preds, torch.zeros(0, 4), labels).dtype == torch.bool


def test_instance_data_takes_rows_and_joins(sample, masks):
    instances = sample[0].pred_instances
    whole = masks[0].numpy()
    rows = [torch.tensor([True, False, True]), torch.tensor([2, 0]), torch.zeros(3, dtype=bool), slice(1, 3), 1]
    for row, expected in zip(rows, ([0, 2], [2, 0], [], [1, 2], [1]), strict=True):
        some = instances[row]
        assert isinstance(some.masks, EncodedMasks)
        assert (some.masks.astype(bool) == whole[expected]).all()
    twice = InstanceData.cat([instances, instances[torch.tensor([1])]])
    assert (twice.masks.astype(bool) == whole[[0, 1, 2, 1]]).all()
    with pytest.raises(IndexError):
        instances.masks[3]


def test_encoded_masks_are_copied_pickled_and_read_as_arrays(masks):
    whole, encoded = masks
    for same in (encoded, copy.deepcopy(encoded), pickle.loads(pickle.dumps(encoded)), encoded.numpy()):
        assert same.image_size == (WIDTH, HEIGHT)
        assert (same.astype(np.uint8) == whole.numpy()).all()
        assert [(rle.decode() == mask).all() for rle, mask in zip(same, whole.numpy(), strict=True)] == [True] * 3
    assert (encoded.cpu() == whole).all()
    assert (encoded[0][5:7, 7] == [1, 1]).all()
    assert encoded[0]['size'] == [HEIGHT, WIDTH]
    assert encode_mask_results(encoded.numpy()) == [plain(mask) for mask in whole.numpy().astype(np.uint8)]


def test_mmdets_metrics_take_them(sample, masks, write_coco, tmp_path):
    boxes = [dict(bbox=[7, 5, 23, 15]), dict(bbox=[0, 0, WIDTH, HEIGHT], category_id=4)]
    data = write_coco([(WIDTH, HEIGHT, boxes)])
    figures = []
    for data_sample in sample:
        metric = CocoMetric(data['data_root'] + data['ann_file'], metric=['bbox', 'segm'])
        metric.dataset_meta = data['metainfo']
        metric.process({}, [data_sample.to_dict()])
        figures.append(metric.evaluate(1))
    assert figures[0]['coco/segm_mAP'] == 1.0
    assert figures[0] == figures[1]
    assert (sample[0].pred_instances.masks.astype(bool) == masks[0].numpy()).all(), 'still readable'
    dumps = []
    for n, data_sample in enumerate(sample):
        dump = DumpDetResults(str(tmp_path / f'{n}.pkl'))
        dump.process({}, [data_sample.to_dict()])
        dump.evaluate(1)
        dumps.append(load(tmp_path / f'{n}.pkl')[0]['pred_instances']['masks'])
    assert dumps[0] == dumps[1] == [plain(mask) for mask in masks[0].numpy().astype(np.uint8)]


@pytest.mark.parametrize('score_thr', [0.75, 0.95])
def test_mmdets_visualizer_draws_them(sample, score_thr, tmp_path):
    pictures = []
    for n, data_sample in enumerate(sample):
        visualizer = DetLocalVisualizer(name=f'{tmp_path.name}{n}{score_thr}')
        visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])
        np.random.seed(0)  # it jitters colours
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        visualizer.add_datasample('x', image, data_sample, draw_gt=False, pred_score_thr=score_thr)
        pictures.append(visualizer.get_image())
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != 90).any() == (score_thr < 0.9)


MEASURE = """
import resource, sys
import torch
from mmengine.structures import InstanceData
from mmsniper.models.masks import MaskPatch, encode
from mmsniper.models.merging import merge
def instances(n, size):
    corner = torch.rand(n, 2) * torch.tensor(size) * 0.4
    bboxes = torch.cat([corner, corner + torch.tensor(size) * (0.05 + 0.5 * torch.rand(n, 2) ** 4)], 1)
    bboxes[0] = torch.tensor([0, 0, *size])
    found = InstanceData(bboxes=bboxes, scores=torch.rand(n), labels=torch.zeros(n, dtype=torch.long))
    found.masks = [MaskPatch(torch.rand(28, 28), bbox) for bbox in bboxes]
    return found
merge([instances(5, (40, 30))], (40, 30), dict(type='nms', iou_threshold=1.0))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merged = merge([instances(200, (4000, 3000))], (4000, 3000), None)
assert len(merged.masks) == 200 and merged.masks[0].decode().shape == (3000, 4000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_200_masks_on_12_megapixels_take_little_memory():
    done = subprocess.run([sys.executable, '-c', MEASURE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500, 'MiB; as bool tensors they have 2289'
