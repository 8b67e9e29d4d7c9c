import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from mmsniper.datasets.transforms import PackChipInputs


def chip(flags):
    n = len(flags)
    return dict(
        img=np.zeros((8, 8, 3), np.uint8),
        gt_bboxes=HorizontalBoxes(np.arange(4 * n, dtype=np.float32).reshape(n, 4)),
        gt_bboxes_labels=np.arange(n),
        gt_ignore_flags=np.array(flags, int),
        img_path='a.png',
        chip=np.array([1, 2, 9, 10], np.float32),
        chip_scale=1.0,
        scale_idx=1,
        valid_range=(4.0, 7.0),
    )


@pytest.mark.parametrize(
    ('flags', 'labels', 'valid', 'ignored'),
    [
        ([], [], [], []),
        ([0, 2, 1, 0], [0, 1, 3], [True, False, True], [2]),
        ([1, 1], [], [], [0, 1]),
        ([2], [0], [False], []),
    ],
)
def test_flags_sort_instances(flags, labels, valid, ignored):
    sample = PackChipInputs()(chip(flags))['data_samples']
    assert sample.gt_instances.labels.tolist() == labels
    assert sample.gt_instances.valid.tolist() == valid
    assert sample.ignored_instances.labels.tolist() == ignored
    assert len(sample.gt_instances.bboxes) == len(labels)


def test_metainfo_tells_the_chip_to_the_image_and_to_assigners():
    sample = PackChipInputs(meta_keys=('img_path',))(chip([0, 2]))['data_samples']
    assert set(sample.metainfo_keys()) == {'img_path', 'chip', 'chip_scale', 'scale_idx', 'valid_range'}
    assert sample.gt_instances.valid_range == (4.0, 7.0)
    assert sample.gt_instances[sample.gt_instances.valid].valid_range == (4.0, 7.0)


def test_without_annotations_there_is_an_empty_ground_truth():
    results = chip([])
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        del results[key]
    assert len(PackChipInputs()(results)['data_samples'].gt_instances.valid) == 0


def test_a_chip_that_was_zoomed_again_is_refused():
    with pytest.raises(ValueError, match=r'zooms the chip \(by 2\)'):
        PackChipInputs()(chip([0]) | dict(homography_matrix=np.diag([2.0, 2, 1])))
    PackChipInputs()(chip([0]) | dict(homography_matrix=np.diag([-1.0, 1, 1])))  # a flip is none


def test_it_wants_a_chip():
    results = chip([0])
    del results['valid_range']
    with pytest.raises(ValueError, match='put ChipSampler before it'):
        PackChipInputs()(results)
