import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

RANGE = (0.0, 64.0)
NO_BOXES = torch.zeros(0, 4)


def truth(bboxes, valid, valid_range=RANGE):
    bboxes = torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4)
    return InstanceData(
        bboxes=bboxes,
        labels=torch.arange(len(bboxes)) + 5,
        valid=torch.tensor(valid, dtype=torch.bool),
        metainfo=dict(valid_range=valid_range),
    )


def priors(*boxes):
    return InstanceData(priors=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4))


def regions(*boxes):
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4))


@pytest.fixture
def rpn():
    """As the base config builds it: mmdet's ignore rule is inherited and has no effect."""
    return TASK_UTILS.build(
        dict(
            type='mmsniper.ValidRangeAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.3,
            match_low_quality=True,
            ignore_iof_thr=-1,
        )
    )


@pytest.fixture
def roi():
    return TASK_UTILS.build(
        dict(
            type='mmsniper.ValidRangeRoIAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.5,
            match_low_quality=False,
        )
    )


def labels(assigner, prior_boxes, gt, ignored=None):
    return assigner.assign(priors(*prior_boxes), gt, ignored).gt_inds.tolist()


class TestAnchors:
    # A 10 x 10 prior beside a 10 x 10 box shifted by d columns has IoU (10 - d) / (10 + d): 0.3 at d = 5.385.
    @pytest.mark.parametrize(('shift', 'expected'), [(5.3, -1), (5.5, 0)], ids=['just over 0.3', 'just under'])
    def test_iou_with_an_invalid_box_decides(self, rpn, shift, expected):
        gt = truth([[shift, 0, 10 + shift, 10], [50, 50, 60, 60]], [False, True])
        assert labels(rpn, [[0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]], gt) == [expected, 2, 0]

    def test_a_large_invalid_box_around_small_valid_ones_leaves_them_their_anchors(self, rpn):
        gt = truth([[0, 0, 100, 100], [20, 20, 30, 30]], [False, True])
        boxes = [[20, 20, 30, 30], [60, 60, 70, 70], [0, 0, 100, 90]]
        # The second lies inside the large box, yet IoU is small: background. mmdet's IoF would leave it out.
        assert labels(rpn, boxes, gt) == [2, 0, -1]

    def test_indices_point_into_the_whole_ground_truth(self, rpn):
        gt = truth([[0, 0, 9, 9], [20, 0, 30, 10], [40, 0, 49, 9], [60, 0, 70, 10]], [False, True, False, True])
        result = rpn.assign(priors([60, 0, 70, 10], [20, 0, 30, 10]), gt)
        assert result.gt_inds.tolist() == [4, 2]
        assert result.labels.tolist() == [8, 6]
        assert result.num_gts == 4

    def test_a_positive_stays_positive_beside_an_invalid_box(self, rpn):
        gt = truth([[0, 0, 12, 10], [0, 0, 10, 10]], [False, True])
        assert labels(rpn, [[0, 0, 10, 10]], gt) == [2]

    def test_no_valid_box(self, rpn):
        gt = truth([[0, 0, 10, 10]], [False])
        assert labels(rpn, [[0, 0, 10, 10], [50, 50, 60, 60]], gt) == [-1, 0]

    def test_no_box_at_all(self, rpn):
        assert labels(rpn, [[0, 0, 10, 10], [5, 5, 9, 9]], truth([], [])) == [0, 0]

    @pytest.mark.parametrize('valid_boxes', [[], [[70, 70, 80, 80]]])
    def test_ignored_regions_count_by_share_of_the_prior(self, rpn, valid_boxes):
        gt = truth(valid_boxes, [True] * len(valid_boxes))
        boxes = [[10, 10, 20, 20], [35, 10, 55, 20], [30, 10, 49, 20], [60, 60, 65, 65]]
        # Wholly inside; a quarter inside; just over half inside; elsewhere.
        assert labels(rpn, boxes, gt, regions([0, 0, 40, 40])) == [-1, 0, -1, 0]

    def test_no_prior(self, rpn):
        assert labels(rpn, [], truth([[0, 0, 9, 9]], [True]), regions([0, 0, 5, 5])) == []

    def test_unpacked_ground_truth_is_refused(self, rpn):
        gt = InstanceData(bboxes=NO_BOXES, labels=torch.zeros(0, dtype=torch.long))
        with pytest.raises(ValueError, match=r'mmsniper\.PackChipInputs'):
            rpn.assign(priors([0, 0, 5, 5]), gt)


class TestProposals:
    def test_every_object_labels_valid_or_not(self, roi):
        gt = truth([[0, 0, 20, 20], [40, 40, 60, 60]], [True, False])
        assert labels(roi, [[0, 0, 20, 19], [40, 40, 60, 59], [80, 80, 99, 99]], gt) == [1, 2, 0]

    @pytest.mark.parametrize(('side', 'expected'), [(63.99, 0), (64, -1), (16, 0), (15.99, -1)])
    def test_a_proposal_on_the_range_border_is_half_open(self, roi, side, expected):
        gt = truth([[200, 200, 230, 230]], [True], valid_range=(16.0, 64.0))
        assert labels(roi, [[0, 0, side, side], [100, 100, 130, 130]], gt) == [expected, 0]

    def test_proposals_out_of_range_are_left_out_even_on_an_object(self, roi):
        gt = truth([[0, 0, 100, 100]], [False])
        assert labels(roi, [[0, 0, 100, 99], [0, 0, 90, 90], [0, 0, 30, 30]], gt) == [-1, -1, 0]

    def test_an_object_that_only_this_scale_can_hold_keeps_its_proposals(self, roi):
        gt = truth([[0, 0, 200, 40]], [True])  # size 89, out of [0, 64), yet valid here
        assert labels(roi, [[0, 0, 200, 38], [0, 60, 200, 100], [0, 0, 30, 30]], gt) == [1, -1, 0]

    def test_ignored_regions(self, roi):
        for gt in (truth([], []), truth([[50, 50, 60, 60]], [True])):
            assert labels(roi, [[10, 10, 20, 20], [80, 80, 90, 90]], gt, regions([0, 0, 40, 40])) == [-1, 0]

    def test_no_box_at_all(self, roi):
        assert labels(roi, [[0, 0, 10, 10], [0, 0, 99, 99]], truth([], [])) == [0, -1]

    def test_background_stays_where_nothing_else_would(self, roi):
        gt = truth([[0, 0, 100, 100]], [False])
        assert labels(roi, [[0, 0, 100, 90], [200, 200, 300, 300]], gt) == [-1, 0]


def test_in_mixed_chips_each_object_has_the_range_of_its_own_chip(roi):
    gt = truth([[0, 0, 40, 40], [100, 0, 140, 40]], [True, False], valid_range=[(30.0, 64.0), (64.0, 128.0)])
    gt.chip_idx = torch.tensor([0, 1])
    on_each, background = (
        [[0, 0, 40, 40], [100, 0, 140, 40]],
        [[0, 200, 40, 240], [0, 200, 100, 300], [0, 200, 20, 220]],
    )
    # The second object is too small for its chip; background counts in the range of either.
    assert labels(roi, on_each + background, gt) == [1, -1, 0, 0, -1]


def test_in_mixed_chips_the_rescued_are_those_out_of_their_own_range(roi):
    """A long thin valid object: its proposals stay in the chip that rescues it, and are ordinary in another's range."""
    boxes = [[0, 0, 100, 16], [0, 100, 100, 116]]
    gt = truth(boxes, [True, True], valid_range=[(30.0, 64.0), (64.0, 128.0)])
    gt.chip_idx = torch.tensor([0, 1])
    near = [[0, 0, 50, 16], [0, 100, 50, 116], [0, 0, 100, 16], [0, 100, 100, 116]]
    # Half of an object has a size of 28 px, out of either range: kept where the object is rescued, left out elsewhere.
    assert labels(roi, near, gt) == [-1, 2, 1, 2]


class TestATSS:
    """Anchors of 16 px, on two levels with strides of 8 and 16."""

    assigner = dict(type='mmsniper.ValidRangeATSSAssigner', topk=4)

    def assign(self, gt, ignored=None, **changes):
        levels = []
        for stride in (8, 16):
            centres = torch.arange(stride / 2, 128, stride)
            y, x = torch.meshgrid(centres, centres, indexing='ij')
            levels.append(torch.stack([x - stride, y - stride, x + stride, y + stride], -1).reshape(-1, 4))
        anchors = InstanceData(priors=torch.cat(levels))
        assigner = TASK_UTILS.build(dict(self.assigner, **changes))
        result = assigner.assign(anchors, [len(level) for level in levels], gt, ignored)
        return anchors.priors, result

    def test_valid_objects_alone_make_positives(self):
        boxes = [[9, 10, 23, 27], [73, 74, 87, 91]]
        _, both = self.assign(truth(boxes, [True, True]))
        _, one = self.assign(truth(boxes, [False, True]))
        assert set(both.gt_inds.tolist()) == {0, 1, 2}
        assert set(one.gt_inds.tolist()) == {-1, 0, 2}
        assert torch.equal(both.gt_inds == 2, one.gt_inds == 2)
        assert (one.labels[one.gt_inds == 2] == 6).all()

    def test_what_would_be_an_invalid_objects_is_not_background(self):
        boxes = [[9, 10, 23, 27]]
        _, as_valid = self.assign(truth(boxes, [True]))
        # Not by IoU: with this threshold no anchor is near enough.
        _, as_invalid = self.assign(truth(boxes, [False]), invalid_iou_thr=0.99)
        assert (as_valid.gt_inds == 1).any()
        assert torch.equal(as_valid.gt_inds == 1, as_invalid.gt_inds == -1)

    def test_regions_are_nobodys_background(self):
        priors, result = self.assign(truth([], []), regions([0, 0, 64, 64]))
        inside = (priors[:, 2:] <= 64).all(1) & (priors[:, :2] >= 0).all(1)
        assert inside.any()
        assert (result.gt_inds[inside] == -1).all()
        assert (result.gt_inds[(priors[:, 0] > 64)] == 0).all()
