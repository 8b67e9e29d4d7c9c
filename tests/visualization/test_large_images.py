import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from mmsniper.models.masks import EncodedMasks
from mmsniper.visualization import LargeImageVisualizer
from mmsniper.visualization.large_images import reduced

RED, BLUE = (250, 0, 0), (0, 0, 250)


@pytest.fixture
def visualizer(monkeypatch):
    monkeypatch.setattr(LargeImageVisualizer, 'max_side', 400)
    visualizer = LargeImageVisualizer()
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[RED, BLUE])
    return visualizer


def sample(width, height, boxes, encoded):
    """Detections whose masks fill their boxes, with scores 0.9, 0.8, ..."""
    masks = np.zeros((len(boxes), height, width), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    rles = EncodedMasks([coco_mask.encode(np.asfortranarray(mask)) for mask in masks], (width, height))
    found = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % 2,
        scores=0.9 - 0.1 * torch.arange(len(boxes)),
        masks=rles if encoded else torch.from_numpy(masks).bool(),
    )
    return DetDataSample(metainfo=dict(ori_shape=(height, width)), pred_instances=found)


def draw(visualizer, image, predictions, **options):
    visualizer.add_datasample('image', image, predictions, draw_gt=False, **options)
    return visualizer.get_image().astype(int)


@pytest.mark.parametrize('encoded', [True, False], ids=['encoded', 'tensor'])
@pytest.mark.parametrize(('width', 'height', 'zoom'), [(400, 300, 1), (2000, 1500, 0.2), (1000, 8, 0.4)])
def test_boxes_and_masks_are_where_the_picture_has_them(visualizer, width, height, zoom, encoded):
    image = np.full((height, width, 3), 128, np.uint8)
    # On the left an object, on the right one whose score is too low.
    boxes = [(width // 8, height // 4, 3 * width // 8, 3 * height // 4), (5 * width // 8, 0, 7 * width // 8, height)]
    drawn = draw(visualizer, image, sample(width, height, boxes, encoded), pred_score_thr=0.85)
    assert drawn.shape == (round(height * zoom), round(width * zoom), 3)
    assert (image == 128).all(), 'the image given is left as it is'
    x1, y1, x2, y2 = (round(value * zoom) for value in boxes[0])
    changed = np.abs(drawn - 128).max(axis=2) > 20
    assert changed[y1:y2, x1:x2].mean() > 0.97, 'all but some pixels of the label, which are as grey as the image'
    assert not changed[:, int(x2 + 6) :].any(), 'the other one is not drawn'
    assert not changed[:, : x1 - 6].any()
    if height > 8:
        reddish = drawn[(y1 + y2) // 2 + 10, (x1 + x2) // 2]
        assert reddish[0] > 150 > reddish[2]


def test_the_best_of_overlapping_masks_is_on_top(visualizer):
    image = np.full((300, 400, 3), 128, np.uint8)
    drawn = draw(visualizer, image, sample(400, 300, [(100, 100, 300, 200), (80, 80, 320, 220)], True))
    red, _, blue = drawn[150, 200]
    assert red > blue


def test_no_detections(visualizer):
    image = np.full((30, 40, 3), 128, np.uint8)
    assert (draw(visualizer, image, sample(40, 30, [], True)) == 128).all()


def test_detections_of_another_image_are_refused(visualizer):
    with pytest.raises(ValueError, match='40 x 30 pixels, but its detections are of an image of 30 x 40'):
        draw(visualizer, np.zeros((30, 40, 3), np.uint8), sample(30, 40, [], True))


def test_a_large_image_is_averaged_not_sampled(visualizer):
    image = np.zeros((800, 800, 3), np.uint8)
    image[::2] = 200
    assert np.ptp(draw(visualizer, image, sample(800, 800, [], True))) == 0
    assert cv2.resize(image, (400, 400), interpolation=cv2.INTER_NEAREST).max() in (0, 200)


def masks_of(kind, boxes, width, height):
    """Masks that fill their boxes."""
    whole = sample(width, height, boxes, False).pred_instances.masks
    if kind == 'polygons':
        corners = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes]
        return PolygonMasks(corners, height, width)
    if kind == 'encoded':
        return sample(width, height, boxes, True).pred_instances.masks
    return dict(tensor=whole, array=whole.numpy(), bitmaps=BitmapMasks(whole.numpy().astype(np.uint8), height, width))[
        kind
    ]


KINDS = ('tensor', 'array', 'bitmaps', 'polygons', 'encoded')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('key', ['gt_instances', 'ignored_instances', 'pred_instances'])
def test_boxes_and_masks_of_any_kind_are_reduced(visualizer, monkeypatch, key, kind):
    boxes = [(1000, 500, 1500, 1000), (0, 0, 10, 10)]
    instances = sample(2000, 1500, boxes, True).pred_instances
    instances.bboxes, instances.masks = HorizontalBoxes(instances.bboxes), masks_of(kind, boxes, 2000, 1500)
    if key != 'pred_instances':
        del instances.scores  # there are none in ground truth
    seen = DetDataSample(metainfo=dict(ori_shape=(1500, 2000)))
    setattr(seen, key, instances)
    shown = []
    monkeypatch.setattr(
        'mmdet.visualization.DetLocalVisualizer.add_datasample', lambda *args, **_: shown.append(args[3])
    )
    visualizer.add_datasample('image', np.zeros((1500, 2000, 3), np.uint8), seen)
    small = shown[0].get(key)
    assert small.bboxes.tolist() == [[200, 100, 300, 200], [0, 0, 2, 2]]
    assert small.labels.tolist() == [0, 1]
    masks = small.masks.to_ndarray() if kind in ('bitmaps', 'polygons') else small.masks.astype(bool)
    assert masks.shape == (2, 300, 400)
    assert masks[0].sum() == masks[0, 100:200, 200:300].sum() == 100 * 100
    assert seen.get(key).bboxes.tensor[0].tolist() == list(boxes[0]), 'the sample given is left as it is'


@pytest.mark.parametrize('kind', KINDS)
def test_ground_truth_is_where_the_picture_has_it(visualizer, kind):
    box = (1000, 500, 1500, 1000)
    truth = InstanceData(bboxes=torch.tensor([box]).float(), labels=torch.tensor([0]))
    truth.masks = masks_of(kind, [box], 2000, 1500)
    seen = DetDataSample(metainfo=dict(ori_shape=(1500, 2000)), gt_instances=truth)
    visualizer.add_datasample('image', np.full((1500, 2000, 3), 128, np.uint8), seen, draw_pred=False)
    changed = np.abs(visualizer.get_image().astype(int) - 128).max(axis=2) > 20
    assert changed.shape == (300, 400)
    assert changed[100:200, 200:300].mean() > 0.97
    assert not changed[:, :194].any() and not changed[206:].any() and not changed[:94].any()


def test_masks_that_are_not_drawn_are_not_reduced(visualizer, monkeypatch):
    worked_on = []

    def count(instances, *sizes):
        worked_on.append(len(instances))
        return reduced(instances, *sizes)

    monkeypatch.setattr('mmsniper.visualization.large_images.reduced', count)
    image = np.full((800, 800, 3), 128, np.uint8)
    draw(visualizer, image, sample(800, 800, [(0, 0, 90, 90)] * 3, True), pred_score_thr=0.75)
    assert worked_on == [2], 'scores are 0.9, 0.8, 0.7'


@pytest.mark.parametrize('size', [(7, 5), (13, 9), (20, 29), (1, 1)])
def test_a_mask_is_reduced_to_the_nearest_pixels(size):
    mask = (np.random.default_rng(0).random((31, 47)) < 0.5).astype(np.uint8)
    found = InstanceData(masks=torch.from_numpy(mask[None]).bool())
    expected = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT)
    assert (reduced(found, (47, 31), size).masks[0].decode() == expected).all()
