import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import PolygonMasks
from torch.utils.data import DataLoader

from mmsniper.datasets import ChipPlanSampler, MixChips
from mmsniper.datasets.transforms.flags import IGNORED, INVALID, VALID, split_flags

MIXES = {
    'mosaic': dict(type='Mosaic', img_scale=(128, 128)),
    'mixup': dict(type='MixUp', img_scale=(128, 128), ratio_range=(1, 1), flip_ratio=0.5),
    'copy-paste': dict(type='CopyPaste', bbox_occluded_thr=1, mask_occluded_thr=1),
}


@pytest.fixture
def chips(write_coco, some_images, planner_cfg):
    """Chips with boxes, and with masks for CopyPaste, mixed by transforms."""

    def build(*names):
        pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=names == ('copy-paste',)),
            dict(type='mmsniper.ChipSampler'),
        ]
        inner = write_coco(some_images, name='_'.join(names)) | dict(filter_cfg=None)
        return DATASETS.build(
            dict(
                type='MultiImageMixDataset',
                dataset=dict(type='mmsniper.ChipDataset', dataset=inner, planner=planner_cfg, pipeline=pipeline),
                pipeline=[
                    *(dict(type='mmsniper.MixChips', transform=MIXES[name]) for name in names),
                    dict(type='mmsniper.PackChipInputs'),
                ],
            )
        )

    return build


@pytest.mark.parametrize('names', [('mosaic',), ('mixup',), ('copy-paste',), ('mosaic', 'mixup')], ids='+'.join)
def test_mixed_chips_are_the_same_with_any_number_of_workers(chips, names):
    dataset = chips(*names)

    def samples(num_workers):
        sampler = ChipPlanSampler(dataset, seed=3)
        loader = DataLoader(dataset, sampler=sampler, batch_size=None, num_workers=num_workers, collate_fn=lambda x: x)
        torch.manual_seed(num_workers)
        return list(loader)

    alone, shared = samples(0), samples(2)
    assert len(alone) == len(dataset.dataset)
    for a, b in zip(alone, shared, strict=True):
        assert torch.equal(a['inputs'], b['inputs'])
        assert a['inputs'].dtype == torch.uint8
        a, b = a['data_samples'].gt_instances, b['data_samples'].gt_instances
        assert torch.equal(a.bboxes.tensor, b.bboxes.tensor)
        assert torch.equal(a.valid, b.valid)
    assert any((one['data_samples'].gt_instances.get('chip_idx', torch.zeros(1)) > 0).any() for one in alone)


@pytest.mark.parametrize('name', MIXES)
def test_objects_keep_what_their_own_chip_says(chips, name):
    """A valid object is one that its chip's range holds, or one that the range of no scale could."""
    dataset, seen = chips(name), 0
    sampler = ChipPlanSampler(dataset, seed=0)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for key in sampler:
            gt = dataset[key]['data_samples'].gt_instances
            if not isinstance(gt.valid_range, list):
                continue
            limits = torch.tensor(gt.valid_range)[gt.chip_idx]
            boxes = gt.bboxes.tensor
            sizes = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
            assert (sizes[gt.valid] < limits[gt.valid, 1]).all()
            if name != 'copy-paste':  # which shrinks the boxes of what it hides
                cut = 0.5**0.5  # half of the area may be cut off
                assert (sizes[gt.valid] >= limits[gt.valid, 0] * cut - 1).all()
            assert len(set(gt.chip_idx.tolist())) <= (4 if name == 'mosaic' else 2)
            seen += int((gt.chip_idx > 0).sum())
    assert seen > 20


def sample(boxes, flags, size=64, seed=0, valid_range=(5.0, 40.0)):
    return dict(
        img=np.full((size, size, 3), seed, np.uint8),
        img_shape=(size, size),
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.zeros(len(boxes), int),
        gt_ignore_flags=np.array(flags, int),
        chip_seed=seed,
        valid_range=valid_range,
    )


def test_a_mosaic_demotes_what_it_cuts_off():
    """The centre lies at (32, 32) of 128: of the first chip its lower right quarter is left, at the upper left."""
    mosaic = MixChips(dict(type='Mosaic', img_scale=(64, 64), center_ratio_range=(0.5, 0.5)))
    boxes = [[40, 40, 60, 60], [20, 34, 50, 60], [4, 34, 40, 60], [0, 33, 35, 60], [2, 2, 20, 20]]
    first = sample(boxes, [VALID, VALID, VALID, INVALID, VALID])
    others = [sample([[40, 40, 50, 50]], [kind], valid_range=(0.0, float(n))) for n, kind in enumerate((0, 1, 2))]
    mixed = mosaic(first | dict(mix_results=others))
    kinds, chip_idx, _ = split_flags(mixed['gt_ignore_flags'])
    assert mixed['gt_bboxes'].tensor[:4].tolist() == [[8, 8, 28, 28], [0, 2, 18, 28], [0, 2, 8, 28], [0, 1, 3, 28]]
    # Whole; more than half of it left; too little left; a sliver; the last one is gone. Then the others, whole.
    assert kinds.tolist() == [VALID, VALID, INVALID, IGNORED, VALID, IGNORED, INVALID]
    assert chip_idx.tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert mixed['valid_range'] == [(5.0, 40.0), (0.0, 0.0), (0.0, 1.0), (0.0, 2.0)]


def test_a_transform_that_chooses_not_to_mix_leaves_the_chip_alone():
    never = MixChips(dict(type='Mosaic', img_scale=(64, 64), prob=0.0))
    chip = never(sample([[1, 2, 30, 40]], [VALID]) | dict(mix_results=[sample([], []) for _ in range(3)]))
    assert chip['valid_range'] == (5.0, 40.0)
    assert chip['img'].shape == (64, 64, 3)


def test_some_chips_stay_alone(chips):
    dataset = chips('mosaic').dataset
    half = MixChips(dict(type='Mosaic', img_scale=(128, 128)), prob=0.5)
    partners = []
    for n in range(200):
        dataset[n % len(dataset)]
        dataset.last_key = dataset.last_key._replace(seed=n)
        partners.append(len(half.get_indexes(dataset)))
    assert set(partners) == {0, 3}
    assert 70 < partners.count(3) < 130
    alone = sample([[1, 2, 30, 40]], [VALID])
    assert half(alone | dict(mix_results=[]))['valid_range'] == (5.0, 40.0)


def test_one_mix_does_not_decide_for_the_next(chips):
    dataset = chips('mosaic', 'mixup').dataset
    mixes = [MixChips(MIXES[name], prob=0.5) for name in ('mosaic', 'mixup')]
    seen = set()
    for seed in range(60):
        dataset.last_key = dataset.plan(0).key(0)._replace(seed=seed)
        seen.add(tuple(bool(mix.get_indexes(dataset)) for mix in mixes))
    assert len(seen) == 4


def test_partners_are_augmented_each_in_its_own_way(chips):
    dataset = chips('mosaic').dataset
    dataset.last_key = dataset.plan(0).key(0)
    partners = MixChips(MIXES['mosaic']).get_indexes(dataset)
    assert len({key.seed for key in partners}) == 3


def test_mixing_without_ranges_is_refused(chips, write_coco, some_images):
    dataset = chips('mosaic')
    dataset.pipeline[0] = dataset.pipeline[0].mix
    with pytest.raises(TypeError, match=r"type='mmsniper.MixChips', transform=dict\(type='Mosaic'"):
        ChipPlanSampler(dataset)
    ordinary = DATASETS.build(write_coco(some_images, name='ordinary'))
    with pytest.raises(TypeError, match='around CocoDataset'):
        MixChips(MIXES['mosaic']).get_indexes(ordinary)


def test_a_window_of_the_mix_is_kept():
    """Its objects lie where they were drawn: every chip is grey, its object white."""
    mosaic = MixChips(dict(type='Mosaic', img_scale=(64, 64)), crop=(64, 64))
    shown = 0
    for seed in range(30):
        parts = [sample([[20, 22, 40, 38]], [VALID], seed=seed) for _ in range(4)]
        for part in parts:
            part['img'][:] = 100
            part['img'][22:38, 20:40] = 255
        mixed = mosaic(parts[0] | dict(mix_results=parts[1:]))
        assert mixed['img'].shape == (64, 64, 3)
        drawn = np.zeros((64, 64), bool)
        for x1, y1, x2, y2 in mixed['gt_bboxes'].tensor.int().tolist():
            drawn[y1:y2, x1:x2] = True
        np.testing.assert_array_equal(mixed['img'][..., 0] == 255, drawn)
        kinds = split_flags(mixed['gt_ignore_flags']).kinds
        whole = [(box[2] - box[0]) * (box[3] - box[1]) >= 160 for box in mixed['gt_bboxes'].tensor.tolist()]
        assert [kind == VALID for kind in kinds] == whole
        shown += len(whole)
    assert shown > 40


def test_zooms_are_refused():
    with pytest.raises(ValueError, match=r'ratio_range=\(1, 1\)'):
        MixChips(dict(type='MixUp', img_scale=(64, 64)))
    mosaic = MixChips(dict(type='Mosaic', img_scale=(128, 128)))
    with pytest.raises(ValueError, match=r'write img_scale=\(64, 64\)'):
        mosaic(sample([], []) | dict(mix_results=[sample([], [])] * 3))


@pytest.mark.parametrize('pixels', [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_copy_paste_takes_masks_of_any_kind(pixels):
    boxes = [[4, 4, 24, 24], [30, 30, 50, 50]]
    parts = []
    for n, (box, as_pixels) in enumerate(zip(boxes, pixels, strict=True)):
        part = sample([box], [VALID], seed=1) | dict(img=np.full((64, 64, 3), 100 * n, np.uint8))
        x1, y1, x2, y2 = box
        part['gt_masks'] = PolygonMasks([[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)]], 64, 64)
        if as_pixels:
            part['gt_masks'] = part['gt_masks'].to_bitmap()
        parts.append(part)
    paste = MixChips(dict(type='CopyPaste', selected=False))
    mixed = paste(parts[0] | dict(mix_results=parts[1:]))
    assert mixed['gt_bboxes'].tensor.tolist() == boxes
    assert mixed['gt_masks'].masks.sum(axis=(1, 2)).tolist() == [400, 400]
    assert (mixed['gt_masks'].masks[1] == (mixed['img'][..., 0] == 100)).all()


def test_masks_are_not_lost():
    mosaic = MixChips(dict(type='Mosaic', img_scale=(64, 64)))
    with pytest.raises(ValueError, match='masks would be lost'):
        mosaic(sample([], []) | dict(mix_results=[sample([], [])] * 3, gt_masks=object()))
