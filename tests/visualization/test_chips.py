"""What is drawn, pixel by pixel."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmsniper.chips import ChipKey, ChipKind
from mmsniper.datasets import ChipDataset
from mmsniper.visualization import chip_legend, chip_title, chips, draw_chip, draw_image
from mmsniper.visualization.canvas import (
    IGNORED,
    INVALID,
    MARGIN,
    PANEL,
    PREDICTION,
    PROPOSAL,
    VALID,
    scale_colour,
)

IMAGES = [(320, 240, [dict(bbox=[20, 20, 20, 20])])]  # drawn twice as large
# At scale 2, where a chip has 64 px: two beside the object, one in its positive chip.
BOXES = np.array([[220, 150, 240, 170], [100, 150, 120, 170], [16, 16, 36, 36]], np.float32)
NEGATIVE = ChipKey(0, (200, 140, 264, 204), 0, 2.0, 0, ChipKind.NEGATIVE)


@pytest.fixture
def draw(write_coco, planner_cfg, pipeline):
    """Draws the image with some chips; returns the panel of each scale."""
    dataset = ChipDataset(write_coco(IMAGES), planner_cfg, pipeline)

    def call(keys, proposals=None):
        picture = draw_image(dataset.planner, dataset.dataset.get_data_info(0), keys, proposals)
        return [picture[MARGIN : MARGIN + 480, x : x + PANEL] for x in range(0, picture.shape[1], PANEL + 4)]

    return call


def outline(panel, box):
    """Colours (..., 3) along the top edge of a box of the image, without its corners."""
    x1, y1, x2, _ = np.rint(np.array(box) * 2).astype(int)
    return panel[y1, x1 + 1 : x2 - 1]


def test_proposals_are_drawn_where_they_count_and_brightly_in_negative_chips(draw):
    without, panels = draw([NEGATIVE]), draw([NEGATIVE], BOXES)
    inside, elsewhere, covered = BOXES
    assert (outline(panels[0], inside) == PROPOSAL.colour).all()
    faint = outline(panels[0], elsewhere).astype(int)
    assert (faint > outline(without[0], elsewhere)).all()
    assert (faint < PROPOSAL.colour).all()
    assert (outline(panels[0], covered) == outline(without[0], covered)).all()
    # 20 px are too small for the others.
    assert all((panel == plain).all() for panel, plain in zip(panels[1:], without[1:], strict=True))


def test_a_positive_or_random_chip_holds_no_bright_proposal(draw):
    for kind in (ChipKind.POSITIVE, ChipKind.RANDOM):
        panel = draw([NEGATIVE._replace(kind=kind)], BOXES)[0]
        assert not (outline(panel, BOXES[0]) == PROPOSAL.colour).all(1).any()


@pytest.mark.parametrize(
    ('kind', 'dash'), [(ChipKind.POSITIVE, None), (ChipKind.NEGATIVE, 12), (ChipKind.RANDOM, 3)], ids=lambda v: str(v)
)
def test_each_kind_has_a_frame_of_its_own(draw, kind, dash):
    panels = draw([NEGATIVE._replace(kind=kind)])
    painted = (outline(panels[0], NEGATIVE.bbox) == scale_colour(0)).all(1)[8:-8]  # the corners are of both edges
    changes = np.flatnonzero(np.diff(painted.astype(int)))
    assert painted.any()
    assert set(np.diff(changes)) == ({dash} if dash else set())
    assert not (outline(panels[1], NEGATIVE.bbox) == scale_colour(0)).all(1).any()


def test_an_object_is_valid_at_one_scale_and_invalid_at_another(draw):
    # The object's top edge, at (20, 20) .. (40, 40): of 20 px, so valid at the first scale only.
    colours = [outline(panel, (20, 20, 40, 40)) for panel in draw([])]
    assert (colours[0] == VALID.colour).all()
    for colour in colours[1:]:
        shown = (colour == INVALID.colour).all(1)
        assert 0.3 < shown.mean() < 0.7, 'dashes'


def test_titles_name_the_scale_as_the_config_does_and_count_each_kind(monkeypatch, draw):
    positive, random = (NEGATIVE._replace(kind=kind) for kind in (ChipKind.POSITIVE, ChipKind.RANDOM))
    titles = []
    monkeypatch.setattr(chips, 'titled', lambda image, title, colour: titles.append(title) or image)
    draw([positive] * 3 + [NEGATIVE] * 2 + [random._replace(scale_idx=1)])
    assert titles == [
        'scale 2 (zoom 2.00), objects 0..40 px: 3 + 2 negative chips',
        'scale 1 (zoom 1.00), objects 30..90 px: 0 + 1 random chips',
        'scale 128 x 128 (zoom 0.40), objects 70..inf px: 0 chips',
    ]


def sample_of(truth=(), ignored=(), found=(), size=(64, 64), **meta):
    """A chip's data sample; truth: (box, valid), ignored: boxes, found: (box, score)."""

    def instances(boxes, **more):
        return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4), **more)

    masks = np.zeros((len(truth), *size), np.uint8)
    for mask, ((x1, y1, x2, y2), _) in zip(masks, truth, strict=True):
        mask[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] = 1
    sample = DetDataSample(metainfo=dict(scale_idx=1, chip_scale=1.6623, valid_range=(0.0, 9.0)) | meta)
    sample.gt_instances = instances(
        [box for box, _ in truth],
        labels=torch.zeros(len(truth), dtype=torch.long),
        valid=torch.tensor([valid for _, valid in truth], dtype=torch.bool),
        masks=BitmapMasks(masks, *size),
    )
    sample.ignored_instances = instances(list(ignored))
    if found:
        scores = torch.tensor([score for _, score in found])
        sample.pred_instances = instances(
            [box for box, _ in found], scores=scores, labels=torch.zeros(len(found), dtype=torch.long)
        )
    return sample


def share(picture, line):
    """Share of pixels of a line's colour."""
    return (picture == line.colour).all(-1).mean()


def test_a_chip_with_nothing_on_it_is_as_it_was():
    inputs = torch.arange(3).reshape(3, 1, 1).expand(3, 64, 64).to(torch.uint8)
    assert (draw_chip(inputs, sample_of(), ['a']) == [0, 1, 2]).all()
    assert (inputs == torch.arange(3).reshape(3, 1, 1)).all()
    assert (draw_chip(torch.full((1, 8, 8), 300.0), sample_of(size=(8, 8)), ['a']) == 255).all(), 'grey and float'


def test_predictions_far_outside_are_drawn_as_far_as_can_be():
    inputs = torch.zeros(3, 64, 64, dtype=torch.uint8)
    far = [([-1e12, 10, 1e12, 50], 0.9), ([1e10, 1e10, 2e10, 2e10], 0.9)]
    drawn = draw_chip(inputs, sample_of(found=far), ['a'])
    assert (drawn[10, :] == PREDICTION.colour).all(-1).mean() > 0.5


def test_every_line_of_a_chip_says_what_the_box_is_good_for():
    valid, invalid, ignored, good, bad = ((x, 20, x + 8, 50) for x in (2, 14, 26, 38, 50))
    sample = sample_of([(valid, True), (invalid, False)], [ignored], [(good, 0.9), (bad, 0.2)])
    chip = draw_chip(torch.zeros(3, 64, 64, dtype=torch.uint8), sample, ['a'])

    def right_edge(box, line):
        return (chip[box[1] + 16 : box[3], box[2] - 1] == line.colour).all(-1).mean()

    assert right_edge(valid, VALID) == 1
    assert 0.3 < right_edge(invalid, INVALID) < 0.7
    assert 0.3 < right_edge(ignored, IGNORED) < 0.7
    assert right_edge(good, PREDICTION) == 1
    assert not chip[:45, 51:].any(), 'a score of 0.2 is under the threshold'
    # Contours of the masks, two pixels inside.
    assert (chip[40, [4, 7]] == VALID.colour).all()
    assert (chip[40, [16, 19]] == INVALID.colour).all()


def test_a_large_input_is_reduced_with_its_boxes_and_masks():
    sample = sample_of([((200, 100, 1000, 900), True)], size=(1000, 1280))
    chip = draw_chip(torch.zeros(3, 1000, 1280, dtype=torch.uint8), sample, ['a'])
    assert chip.shape == (500, 640, 3)
    assert (chip[100:440, 499] == VALID.colour).all()
    assert share(chip[60:440, 110:490], VALID) == 0


def test_plain_ground_truth_is_valid_and_ignored_instances_may_be_missing():
    sample = sample_of([((2, 2, 40, 40), True)])
    del sample.gt_instances.valid, sample.gt_instances.masks, sample.ignored_instances
    assert share(draw_chip(torch.zeros(3, 64, 64, dtype=torch.uint8), sample, ['a']), VALID) > 0.02


def test_a_chips_title():
    scales = (3.0, 1.667, (512.0, 512.0))
    assert chip_title(sample_of(), scales) == 'scale 1.667 (zoom 1.66)'
    assert chip_title(sample_of(), scales, ChipKind.POSITIVE) == 'scale 1.667 (zoom 1.66)'
    mixed = sample_of(scale_idx=2, chip_scale=0.8, valid_range=[(0, 1), (0, 2)])
    assert chip_title(mixed, scales, int(ChipKind.RANDOM)) == 'scale 512 x 512 (zoom 0.80), random, 2 mixed'


def test_the_legend_has_predictions_only_where_they_are_drawn():
    assert 'prediction' not in chip_legend()
    assert chip_legend(predictions=True)['prediction'] == PREDICTION
