import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmsniper.models import ProposalTTA


class Echo(nn.Module):
    """A model whose predictions are its inputs."""

    def test_step(self, data):
        return data['data_samples']


def view(n, first, **meta):
    """A data sample with n proposals, numbered from `first`."""
    sample = DetDataSample(metainfo=dict(img_path='some.png', **meta))
    numbers = torch.arange(first, first + n).float()
    sample.pred_instances = InstanceData(
        bboxes=numbers[:, None].repeat(1, 4), scores=numbers / 100, labels=torch.zeros(n)
    )
    sample.gt_instances = InstanceData(bboxes=torch.ones(1, 4))
    return sample


def test_views_without_proposals_stay_empty():
    (merged,) = ProposalTTA(Echo()).merge_preds([(view(0, 0), view(0, 0))])
    assert merged.pred_instances.bboxes.shape == (0, 4)
    assert merged.pred_instances.scores.shape == (0,)


def test_proposals_of_all_views_come_together_per_image():
    views = [[view(3, 0, scale_factor=1), view(2, 50)], [view(1, 10), view(0, 0)], [view(2, 20), view(4, 60)]]
    first, second = ProposalTTA(Echo()).test_step(dict(inputs=[0, 0, 0], data_samples=views))
    assert first.pred_instances.bboxes[:, 0].tolist() == [0, 1, 2, 10, 20, 21]
    assert first.pred_instances.scores.tolist() == pytest.approx([0, 0.01, 0.02, 0.1, 0.2, 0.21])
    assert second.pred_instances.bboxes[:, 0].tolist() == [50, 51, 60, 61, 62, 63]
    assert (first.img_path, len(first.gt_instances.bboxes)) == ('some.png', 1)


def test_flipped_views_are_refused():
    with pytest.raises(ValueError, match=r'some\.png: a view is flipped.*take RandomFlip out of the tta_pipeline'):
        ProposalTTA(Echo()).merge_preds([(view(1, 0, flip=False), view(1, 0, flip=True))])


def test_it_builds_from_a_config_by_its_scoped_name():
    assert isinstance(MMDET_MODELS.build(dict(type='mmsniper.ProposalTTA', module=Echo())), ProposalTTA)
