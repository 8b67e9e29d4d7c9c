import math

import mmcv
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from torch import nn

from mmsniper.chips import ChipPlanner
from mmsniper.datasets import ChipDataset
from mmsniper.models import MultiScaleChipTTA
from mmsniper.models.padding import padded
from mmsniper.models.views import batches, choose_views, scale_views

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
WIDE = (400, 100)
EVERY_SIZE = (0.0, math.inf)


@pytest.mark.parametrize('floating', [False, True])
@pytest.mark.parametrize(
    'settings',
    [
        dict(mean=MEAN, std=STD, bgr_to_rgb=True),
        dict(mean=MEAN, std=STD, rgb_to_bgr=True),
        dict(mean=MEAN, std=STD, pad_value=0.5),
        dict(pad_value=114),
        dict(bgr_to_rgb=True),
    ],
)
def test_the_colour_is_what_the_preprocessor_pads_with(settings, floating):
    detector = nn.Module()
    detector.data_preprocessor = preprocessor = DetDataPreprocessor(pad_size_divisor=32, **settings)
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    small, large = (
        (image.float(), image.new_zeros(3, 64, 96).float()) if floating else (image, image.new_zeros(3, 64, 96))
    )
    ours = padded(small, (64, 96), detector)
    assert ours.dtype == small.dtype
    (ours,) = preprocessor.cast_data(preprocessor(dict(inputs=[ours], data_samples=None))['inputs'])
    theirs = preprocessor(dict(inputs=[small, large], data_samples=None))['inputs'][0]
    # Bytes are rounded, half a level at most.
    assert torch.allclose(ours, theirs, atol=1e-4 if floating else 0.5 / min(settings.get('std', [1])) + 1e-4)


def test_a_colour_that_no_byte_can_have_is_the_nearest():
    detector = nn.Module()
    detector.data_preprocessor = DetDataPreprocessor(mean=MEAN, std=STD, pad_value=-9)
    assert (padded(torch.full((3, 2, 2), 9, dtype=torch.uint8), (2, 3), detector)[..., 2] == 0).all()
    assert (padded(torch.full((3, 2, 2), 9, dtype=torch.uint8), (2, 3), nn.Module())[..., 2] == 0).all()


def test_what_is_large_enough_stays_itself():
    image = torch.zeros(3, 5, 7)
    assert padded(image, (5, 7), nn.Module()) is image


def test_a_canvas_smaller_than_a_chip_is_padded_to_it_along_that_side():
    def shapes(least):
        views = choose_views(0, WIDE, (2.0, 1.0, 0.5), [EVERY_SIZE] * 3, False, 2048, least)
        return [view.padded for view in views]

    assert shapes(0) == [(200, 800), (100, 400), (50, 200)]
    assert shapes(128) == [(200, 800), (128, 400), (128, 200)]
    assert shapes(256) == [(256, 800), (256, 400), (256, 256)]
    (part,) = scale_views(0, WIDE, 0, 1.0, math.inf, False, 2048, 128, (40, 20, 100, 90))
    assert (part.shape, part.padded) == ((70, 60), (128, 60)), 'no chip of this scale is as low, but some are as narrow'
    assert part.cost > part._replace(least=(0, 0)).cost


def test_views_are_put_together_by_what_they_are_padded_to():
    views = [
        choose_views(n, (side, 100), (1.0,), [EVERY_SIZE], False, 2048, 128)[0] for n, side in enumerate((90, 100, 140))
    ]
    found = list(batches(views, 10**9, 32))
    assert [[view.image_idx for view in batch] for batch in found] == [[0, 1], [2]]
    assert [{view.canvas(32) for view in batch} for batch in found] == [{(128, 128)}, {(128, 160)}]


@pytest.mark.parametrize('size', [(200, 150), (150, 200), (640, 240)])
def test_a_view_looks_as_the_chip_that_taught_it(detector, write_coco, pipeline, packed, size):
    """Of every scale whose canvas a chip holds, the network is shown the same pixels in training and test."""
    planner = dict(
        scales=[0.6, (128, 128), 0.16], valid_ranges=[(None, 40), (30, 200), (100, None)], chip_size=128, stride=16
    )
    objects = [dict(bbox=[10, 10, 20, 20]), dict(bbox=[5, 5, 100, 90]), dict(bbox=[0, 0, 140, 120])]
    dataset = ChipDataset(write_coco([(*size, objects)]), planner, pipeline)
    module, seen = detector('retinanet'), []
    module.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tta = MultiScaleChipTTA(module, dict(scales='planner', ranges='planner', nms=None)).eval()
    tta.follow(planner)
    chips = {}
    for n in range(len(dataset)):
        sample = dataset[n]
        x1, y1, x2, y2 = sample['data_samples'].chip
        if (x2 - x1, y2 - y1) == size:
            chips[sample['data_samples'].scale_idx] = sample
    assert {1, 2} <= set(chips)
    image = torch.from_numpy(mmcv.imread(dataset.dataset.get_data_info(0)['img_path'])).permute(2, 0, 1)
    views = [view for view in tta.choose_views(0, image, packed(image)['data_samples'][0]) if view.scale_idx in chips]
    for view in views:
        seen.clear()
        ((_, result),) = tta.run_views([image], packed(image)['data_samples'], [view])
        sample = chips[view.scale_idx]
        taught = module.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))[
            'inputs'
        ]
        assert seen[0].shape == taught.shape == (1, 3, 128, 128)
        assert (seen[0] - taught).abs().max() < 1.5 / min(STD), 'rounding'
        assert result.view_pixels == 128**2


@pytest.mark.parametrize('planner', [None, dict(type='PyramidPlanner', scales=[1.0], valid_ranges=[(None, None)])])
def test_what_training_does_not_pad_no_test_does(detector, planner):
    tta = MultiScaleChipTTA(detector('retinanet'), dict(scales=[1.0], ranges=None))
    tta.follow(planner)
    assert tta.least == 0
    tta.follow(ChipPlanner([1.0], [(None, None)], 128, 16).settings)
    assert tta.least == 128
