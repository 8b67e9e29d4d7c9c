"""Where AutoFocus looks, and what the merged result is; the detector is an oracle that sees what is there."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mmsniper.chips.focus import FOCUS, focus_targets
from mmsniper.models import MultiScaleChipTTA
from mmsniper.models.focus.search import DEFAULTS, FocusSettings, focus_settings, next_chips, seen_whole
from mmsniper.models.views import View, batches

FOCUSED = dict(threshold=0.5, dilate=3, min_size=40)
# At 0.5 an image of 600 x 400 is one view, at 1.0 it is in tiles.
CFG = dict(
    scales=[2.0, 1.0, 0.5],
    ranges=[(None, 24), (16, 60), (40, None)],
    nms=dict(type='nms', iou_threshold=0.5),
    max_canvas=400,
)
SIZE = (600, 400)


def scene(bboxes):
    """An image (3, H, W) of bright rectangles."""
    image = torch.zeros(3, SIZE[1], SIZE[0], dtype=torch.uint8)
    for n, (x1, y1, x2, y2) in enumerate(bboxes):
        image[n % 3, y1:y2, x1:x2] = 255
    return image


def some(n, seed=0):
    """(n, 4) boxes of 12 to 80 px, one per cell of 100 px."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(24)[:n]
    sides = np.exp(rng.uniform(np.log(12), np.log(80), (n, 1))).astype(int)
    first = np.stack([cells % 6, cells // 6], 1) * 100 + rng.integers(5, 95 - sides, (n, 2))
    return np.concatenate([first, first + sides], 1)


@pytest.fixture
def seer(oracle):
    """Builds an oracle with a FocusHead."""

    class Seer(oracle):
        def __init__(self, masks=None):
            super().__init__(masks)
            self.focus_head = SimpleNamespace(stride=16, trained=True)
            self.n_calls = 0

        def test_step(self, data):
            self.n_calls += 1
            for view, sample in zip(data['inputs'], data['data_samples'], strict=True):
                self.shapes.append(tuple(view.shape[-2:]))
                sample.pred_instances = found = self.look(view.float().numpy())
                shape = tuple(-(-side // 16) for side in view.shape[-2:])
                sizes = (found.bboxes[:, 2:] - found.bboxes[:, :2]).prod(1).sqrt()
                sample.focus = torch.from_numpy(focus_targets(found.bboxes, sizes, shape, 16) == FOCUS).float()
            return data['data_samples']

        @property
        def pixels(self):
            return sum(height * width for height, width in self.shapes)

    return Seer


def compared(seer, packed, bboxes, **changes):
    """Boxes found by the full pyramid and with focus, sorted, and the network pixels of both."""
    results = []
    for focus in (None, FOCUSED):
        eyes = seer()
        (result,) = MultiScaleChipTTA(eyes, {**CFG, **changes, 'focus': focus}).test_step(packed(scene(bboxes)))
        found = result.pred_instances.bboxes.numpy()
        results.append((found[np.lexsort(found.T)], eyes.pixels))
    return results


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('n', [1, 3, 6])
@pytest.mark.parametrize('seed', range(3))
def test_it_finds_what_the_full_pyramid_finds_in_fewer_pixels(seer, packed, flip, n, seed):
    (whole, every), (focused, some_pixels) = compared(seer, packed, some(n, seed), flip=flip)
    assert len(whole) == n
    assert np.abs(whole - focused).max() < 1
    assert some_pixels < every
    if n == 1:
        assert some_pixels < 0.4 * every


def test_masks_come_back_too(seer, packed):
    bboxes = np.array([[100, 100, 120, 130], [300, 200, 340, 240]])
    (result,) = MultiScaleChipTTA(seer('pasted'), {**CFG, 'focus': FOCUSED, 'flip': True}).test_step(
        packed(scene(bboxes))
    )
    found = result.pred_instances
    areas = np.asarray(found.masks.astype(bool)).sum((1, 2))
    assert sorted(areas / 100) == pytest.approx([6, 16], abs=0.3)


def test_nothing_small_is_one_coarse_pass(seer, packed):
    eyes = seer()
    tta = MultiScaleChipTTA(eyes, {**CFG, 'focus': FOCUSED})
    for bboxes in ([], [[100, 100, 330, 330]]):
        (result,) = tta.test_step(packed(scene(bboxes)))
        assert len(result.pred_instances) == len(bboxes)
    assert eyes.shapes == [(200, 300)] * 2


def test_small_things_everywhere_are_the_full_pyramid(seer, packed):
    bboxes = [[x, y, x + 16, y + 16] for x in range(4, 580, 40) for y in range(4, 380, 40)]
    (whole, every), (focused, pixels) = compared(seer, packed, bboxes)
    assert np.array_equal(whole, focused)
    assert pixels == every


def test_images_of_a_batch_go_together_and_are_as_one_by_one(seer, packed):
    eyes = seer()
    tta = MultiScaleChipTTA(eyes, {**CFG, 'focus': FOCUSED})
    images = [scene(some(4, seed)) for seed in (1, 2)] + [scene([])]
    together = [result.pred_instances.bboxes for result in tta.test_step(packed(*images))]
    n_together, eyes.n_calls = eyes.n_calls, 0
    alone = [tta.test_step(packed(image))[0].pred_instances.bboxes for image in images]
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))
    assert n_together < eyes.n_calls


def test_views_that_are_padded_to_one_shape_share_a_batch():
    views = [
        View(n, 0, (0, 0, 1, 1), shape) for n, shape in enumerate([(64, 64), (70, 64), (200, 64), (64, 60), (64, 64)])
    ]
    sizes = [[view.shape for view in batch] for batch in batches(views, 10**6, 32)]
    assert sizes == [[(64, 64), (64, 60), (64, 64)], [(70, 64)], [(200, 64)]]
    assert [len(batch) for batch in batches(views, 10**6, 1)] == [1, 2, 1, 1], 'of one shape'
    assert [len(batch) for batch in batches(views, 2 * 64 * 64, 32)] == [2, 1, 1, 1], 'of so many pixels'
    assert [len(batch) for batch in batches(views, 1, 32)] == [1] * 5
    assert list(batches([], 1, 32)) == []


def test_an_image_smaller_than_the_edges_of_the_coarsest_scale_is_looked_at_whole(seer, packed, messages):
    """Whose scales are not in order; a batch has it beside others."""
    cfg = dict(CFG, scales=[2.0, 1.0, (300, 300)])
    small, large = torch.zeros(3, 90, 110, dtype=torch.uint8), scene(some(4))
    small[0, 20:40, 20:40] = 255
    for images in ((small,), (small, large)):
        first, *_ = MultiScaleChipTTA(seer(), {**cfg, 'focus': FOCUSED}).test_step(packed(*images))
        (whole,) = MultiScaleChipTTA(seer(), cfg).test_step(packed(small))
        assert torch.equal(first.pred_instances.bboxes, whole.pred_instances.bboxes)
        assert len(first.pred_instances)
    assert any('110 x 90 px, is looked at whole at all scales' in message for message in messages())


@pytest.mark.parametrize('n', [1, 6])
def test_the_limit_is_that_of_the_whole_image(seer, packed, n):
    limits = []
    for focus in (None, FOCUSED):
        tta = MultiScaleChipTTA(seer(), {**CFG, 'focus': focus})
        tta._merge_views = lambda views, sample, tiles: limits.append(tiles)
        tta.test_step(packed(scene(some(n))))
    assert limits[0] == limits[1] > 1


def test_progress_never_goes_back(seer, packed):
    told = []
    tta = MultiScaleChipTTA(seer(), {**CFG, 'focus': FOCUSED, 'batch_pixels': 1})
    tta.on_progress = lambda done, total: told.append((done, total))
    tta.test_step(packed(scene(some(4))))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert [total for _, total in told] == sorted(total for _, total in told)
    assert told[-1][0] == told[-1][1]


def test_files_are_read_view_by_view(seer, tmp_path):
    bboxes = some(3)
    cv2.imwrite(str(tmp_path / 'a.png'), scene(bboxes).permute(1, 2, 0).numpy())
    meta = dict(img_path=str(tmp_path / 'a.png'), ori_shape=SIZE[::-1], img_shape=SIZE[::-1])
    tta = MultiScaleChipTTA(seer(), {**CFG, 'focus': FOCUSED})
    (result,) = tta.test_step(dict(data_samples=[DetDataSample(metainfo=meta)]))
    assert sorted(result.pred_instances.bboxes.round().tolist()) == sorted(bboxes.tolist())


@pytest.mark.parametrize('right', [288, 289, 294, 300])
@pytest.mark.parametrize('astray', [-1.0, 0.0, 1.0])
def test_what_a_chip_cuts_the_coarser_scale_answers_for(seer, packed, right, astray):
    """The branch sees the left part of an object only, so that no chip shows it whole; boxes are not exact."""
    eyes = seer()
    look = eyes.test_step

    def half_blind(data):
        for sample in look(data):
            sample.focus[:, 9:] = 0
            if sample.img_shape[0] == 200:
                sample.pred_instances.bboxes[:, 2] += astray
        return data['data_samples']

    eyes.test_step = half_blind
    settings = dict(threshold=0.5, dilate=1, min_size=1)
    bboxes = [[258, 100, right, 126]]  # from column 8 of row 3 of the map, which ends at 288
    tta = MultiScaleChipTTA(eyes, {**CFG, 'scales': [2.0, 0.5], 'ranges': [(None, 60), (40, None)], 'focus': settings})
    (result,) = tta.test_step(packed(scene(bboxes)))
    (box,) = result.pred_instances.bboxes.tolist()
    assert box == pytest.approx(bboxes[0], abs=2.1)
    assert eyes.shapes == [(200, 300), (64, 64)], 'a chip of 32 x 32 px'


def test_a_view_without_a_range_keeps_what_finer_scales_do_not_show(seer, packed):
    """16 px are the finest scale's; at 0.5 they are 8 px, seen and kept where its chip does not reach."""
    tta = MultiScaleChipTTA(seer(), {**CFG, 'nms': None, 'focus': FOCUSED})
    found = tta.test_step(packed(scene([[100, 100, 116, 116]])))[0].pred_instances
    assert len(found) == 2, 'at 2.0 and 1.0, whose ranges share it, and not at 0.5'


def test_chips_of_mirrored_views_are_those_of_the_others():
    rng = np.random.default_rng(0)
    for width in (300, 320, 333):
        focus = torch.zeros(10, -(-width // 16))
        focus[rng.integers(10), rng.integers(focus.shape[1])] = 1
        view = View(0, 1, (50, 20, 50 + width, 180), (160, width))
        settings = FocusSettings(0.5, 1, 1)
        (plain,) = next_chips([(view, DetDataSample(focus=focus))], settings, 1.0, 16, (900, 500))
        mirrored = view._replace(flip=True)
        (chip,) = next_chips([(mirrored, DetDataSample(focus=focus))], settings, 1.0, 16, (900, 500))
        assert chip[[1, 3]].tolist() == plain[[1, 3]].tolist()
        assert (chip[[0, 2]] - 50).tolist() == (width - (plain[[2, 0]] - 50)).tolist()


def test_seen_whole_by_hand():
    boxes = torch.tensor([[10, 10, 20, 20], [12, 12, 28, 28], [12, 12, 29, 28], [0, 0, 9, 9], [12, 0, 28, 9]]).float()
    chips = np.array([[10, 10, 30, 30], [0, 0, 10, 10]])
    assert seen_whole(boxes, chips, 2.0, (100, 100)).tolist() == [False, True, False, False, False]
    assert seen_whole(boxes, chips, 1.0, (100, 100)).tolist() == [False, True, True, True, False]
    assert seen_whole(boxes, np.array([[0, 0, 30, 30]]), 4.0, (30, 30)).all(), 'at the borders of the image'
    assert not seen_whole(boxes, np.zeros((0, 4), np.int64), 1.0, (30, 30)).any()


@pytest.mark.parametrize('given', [FOCUSED, [FOCUSED, None]])
def test_a_scale_that_the_next_cannot_guide_is_looked_at_whole(seer, packed, messages, given):
    """16 px at 1.0 are 3.2 px at 0.2."""
    bboxes = [[100, 100, 116, 116]]
    eyes = seer()
    tta = MultiScaleChipTTA(eyes, {**CFG, 'scales': [2.0, 1.0, 0.2], 'max_canvas': 10**4, 'focus': given})
    for _ in range(2):
        (result,) = tta.test_step(packed(scene(bboxes)))
        assert result.pred_instances.bboxes.round().tolist() == bboxes
    coarse, whole, chip = eyes.shapes[:3]
    assert (coarse, whole) == ((80, 120), (400, 600))
    assert max(chip) < 200
    assert sum('scale 1 is looked at whole' in message for message in messages()) == (given is FOCUSED), 'once'
    eyes.shapes.clear()
    tta.refocus([FOCUSED, FOCUSED])
    tta.test_step(packed(scene(bboxes)))
    assert eyes.shapes == [(80, 120)], 'settings of each scale are kept to'


def test_settings():
    assert focus_settings({}, 3) == [FocusSettings(**DEFAULTS)] * 2
    assert [one.threshold for one in focus_settings([dict(threshold=0.2), dict(threshold=0.3)], 3)] == [0.2, 0.3]


@pytest.mark.parametrize(
    ('focus', 'error', 'said'),
    [
        (dict(threshold=1.5), ValueError, r'tta_cfg.focus: threshold .* \(0, 1\)'),
        (dict(dilate=2), ValueError, 'tta_cfg.focus: dilate'),
        (dict(size=3), TypeError, "no setting .'size'.; there are .*threshold"),
        ([dict()] * 3, ValueError, 'settings of 3 scales, but 2 of 3'),
        (dict(threshold='a'), ValueError, 'tta_cfg.focus: threshold'),
        (True, TypeError, 'or None; got True'),
        ([0.1, 0.2], TypeError, 'or None; got 0.1'),
        ('yes', TypeError, "or None; got 'yes'"),
    ],
)
def test_bad_settings_are_named(seer, focus, error, said):
    with pytest.raises(error, match=said):
        MultiScaleChipTTA(seer(), {**CFG, 'focus': focus})
    if 'settings of 3' not in said:
        with pytest.raises(error, match=said):
            MultiScaleChipTTA(seer(), dict(focus=focus)), 'before it is known which scales there are'


def test_one_scale_is_refused(seer):
    with pytest.raises(ValueError, match='but 1 scale: take focus out'):
        MultiScaleChipTTA(seer(), dict(scales=[1.0], ranges=[(None, None)], focus={}))


def test_scales_from_coarse_to_fine_are_refused(seer, packed):
    cfg = dict(CFG, scales=[0.5, 2.0], ranges=[(40, None), (None, 60)], focus=FOCUSED)
    with pytest.raises(
        ValueError, match=r'0\.png: AutoFocus goes from the last scale to the first, but their zooms \['
    ):
        MultiScaleChipTTA(seer(), cfg).test_step(packed(scene(some(1))))


@pytest.mark.parametrize('scales', [[1.0, 2.0, (300, 300)], [(300, 300), 1.0, 2.0]])
def test_mixed_scales_that_are_in_order_for_no_image_are_refused(seer, packed, scales):
    cfg = dict(CFG, scales=scales, focus=FOCUSED)
    with pytest.raises(ValueError, match='AutoFocus goes from the last scale to the first'):
        MultiScaleChipTTA(seer(), cfg).test_step(packed(scene(some(1))))


def test_a_detector_without_a_branch_or_with_an_untrained_one_is_refused(seer, oracle, packed):
    with pytest.raises(
        ValueError, match=r"needs a detector with a FocusHead: .*mmsniper\.WithFocus.*detector='Oracle'"
    ):
        MultiScaleChipTTA(oracle(), {**CFG, 'focus': {}})
    eyes = seer()
    eyes.focus_head.trained = False
    with pytest.raises(ValueError, match='the checkpoint has none'):
        MultiScaleChipTTA(eyes, {**CFG, 'focus': {}})
    loaded = MultiScaleChipTTA(seer(), {**CFG, 'focus': {}})
    loaded.module.focus_head.trained = False
    with pytest.raises(ValueError, match='the checkpoint has none'):
        loaded.test_step(packed(scene([])))
