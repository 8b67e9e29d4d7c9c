"""The assigners' labels against the rules applied prior by prior, on chips of every kind; and what they wait for."""

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch.utils._python_dispatch import TorchDispatchMode

RPN = dict(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.3, match_low_quality=True)
ROI = dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False)
RANGES = [(20.0, 80.0), (60.0, 200.0)]


def boxes(n, rng):
    """(n, 4) boxes of 4 to 150 px, some of them cut by a border at 0."""
    corner = torch.rand(n, 2, generator=rng) * 260 - 20
    side = torch.exp(torch.rand(n, 1, generator=rng) * 3.6 + 1.4) * torch.exp(torch.rand(n, 2, generator=rng) - 0.5)
    return torch.cat([corner.clamp(min=0), (corner + side).clamp(min=1)], 1)


def chip(seed):
    """Priors, ground truth and ignored regions (or None): without objects, without valid ones, mixed, and ordinary."""
    rng = torch.Generator().manual_seed(seed)
    n = int(torch.randint(0, 9, (), generator=rng))
    gt = InstanceData(bboxes=boxes(n, rng), labels=torch.arange(n) + 5, valid=torch.rand(n, generator=rng) > 0.4)
    gt.set_metainfo(dict(valid_range=RANGES[0]))
    if seed % 3 == 0:
        gt.set_metainfo(dict(valid_range=RANGES))
        gt.chip_idx = torch.arange(n) % 2
    if seed % 7 == 0:
        gt.valid[:] = False
    priors = boxes(0 if seed % 11 == 5 else 60, rng)
    if n and len(priors):
        near = gt.bboxes[torch.randint(0, n, (40,), generator=rng)]
        priors[:40] = near + torch.randn(40, 4, generator=rng) * 0.1 * (near[:, 2:] - near[:, :2]).repeat(1, 2)
    if seed % 5 == 2:
        priors = priors[:3] + 500  # nothing near an object
    regions = InstanceData(bboxes=boxes(2, rng)) if seed % 2 else None
    return priors, gt, regions


def size(box):
    return float((box[2:] - box[:2]).clamp(min=0).prod().sqrt())


def within(box, ranges):
    return any(low <= size(box) < high for low, high in ranges)


def in_region(prior, regions):
    return regions is not None and float(bbox_overlaps(prior[None], regions.bboxes, mode='iof').max()) > 0.5


def matches(settings, priors, bboxes):
    """What mmdet's assigner says of plain ground truth."""
    plain = InstanceData(bboxes=bboxes, labels=torch.zeros(len(bboxes), dtype=torch.long))
    assigner = TASK_UTILS.build(dict(type='MaxIoUAssigner', **settings))
    return assigner.assign(InstanceData(priors=priors), plain).gt_inds.tolist()


def anchor_labels(priors, gt, regions):
    """Numbers of the matched objects, 0 background, -1 left out."""
    taught, invalid = gt.valid.nonzero().flatten().tolist(), gt.bboxes[~gt.valid]
    labels = []
    for prior, match in zip(priors, matches(RPN, priors, gt.bboxes[gt.valid]), strict=True):
        near_invalid = len(invalid) and float(bbox_overlaps(prior[None], invalid).max()) > 0.3
        if match > 0:
            labels.append(taught[match - 1] + 1)
        else:
            labels.append(-1 if match < 0 or near_invalid or in_region(prior, regions) else 0)
    return labels


def proposal_labels(priors, gt, regions):
    """As :func:`anchor_labels`."""
    mixed = 'chip_idx' in gt
    ranges = RANGES if mixed else RANGES[:1]
    own = [ranges[i] for i in (gt.chip_idx.tolist() if mixed else [0] * len(gt))]
    found = matches(ROI, priors, gt.bboxes)
    found = [-1 if not f and in_region(prior, regions) else f for prior, f in zip(priors, found, strict=True)]
    labels = []
    for prior, match in zip(priors, found, strict=True):
        if match > 0:
            n = match - 1
            rescued = bool(gt.valid[n]) and not within(gt.bboxes[n], [own[n]])
            teaches = rescued or within(prior, [own[n]])
        else:
            teaches = within(prior, ranges)
        labels.append(match if teaches else -1)
    if max(labels, default=-1) >= 0:
        return labels
    return [0 if match == 0 else -1 for match in found]


@pytest.mark.parametrize(
    ('kind', 'settings', 'rule'),
    [('ValidRangeAssigner', RPN, anchor_labels), ('ValidRangeRoIAssigner', ROI, proposal_labels)],
)
def test_labels_follow_the_rules(kind, settings, rule):
    assigner = TASK_UTILS.build(dict(type=f'mmsniper.{kind}', **settings))
    seen = set()
    for seed in range(120):
        priors, gt, regions = chip(seed)
        result = assigner.assign(InstanceData(priors=priors), gt, regions)
        assert result.gt_inds.dtype == torch.long
        assert result.gt_inds.tolist() == rule(priors, gt, regions), f'chip {seed}'
        assert result.num_gts == len(gt)
        seen.update(result.gt_inds.clamp(max=1).tolist())
    assert seen == {-1, 0, 1}


class Waits(TorchDispatchMode):
    """Counts operations for whose result a GPU keeps the program waiting: lengths and numbers that depend on values."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count, then call."""
        name = function.overloadpacket.__name__
        if name in ('nonzero', 'masked_select', '_local_scalar_dense'):
            self.count += 1
        filled = name.startswith('index_put') and len(args[1]) == 1 and args[2].numel() == 1  # done as masked_fill
        if name.startswith('index') and isinstance(args[1], (list, tuple)) and not filled:
            self.count += sum(index is not None and index.dtype == torch.bool for index in args[1])
        return function(*args, **(kwargs or {}))


def waits(assigner, sampler, seed):
    priors, gt, regions = chip(seed)
    with Waits() as waited:
        result = assigner.assign(InstanceData(priors=priors), gt, regions)
        if sampler:
            sampler.sample(result, InstanceData(priors=priors), gt)
    return waited.count


def test_a_gpu_waits_about_as_often_as_with_mmdet():
    """mmdet waits for every object that it matches to an anchor; ours matches the valid ones alone."""
    random = dict(type='RandomSampler', num=32, pos_fraction=0.25, add_gt_as_proposals=True)
    for kind, settings, samplers in (
        ('ValidRangeAssigner', RPN, (None, None)),
        ('ValidRangeRoIAssigner', ROI, (dict(type='mmsniper.ValidRangeSampler'), random)),
    ):
        counts = []
        for assigner, sampler in zip((f'mmsniper.{kind}', 'MaxIoUAssigner'), samplers, strict=True):
            built = TASK_UTILS.build(dict(type=assigner, **settings)), sampler and TASK_UTILS.build(sampler)
            counts.append([waits(*built, seed) for seed in range(60)])
        ours, plain = (sum(of) / len(of) for of in counts)
        assert ours <= plain + 1.5, (kind, ours, plain)
