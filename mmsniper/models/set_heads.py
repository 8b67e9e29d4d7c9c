"""DETR and its kin with labels by valid range: what "left out" means for a set of queries."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from mmdet.models.dense_heads import ConditionalDETRHead, DABDETRHead, DeformableDETRHead, DETRHead, DINOHead
from mmdet.models.detectors import DINO
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..registry import MODELS
from .assigners import by_valid_range
from .valid_range import carry_regions, chip_labels, plain_instances

# In what DINO tells its head of the denoising queries: that they are made of valid objects alone.
OF_VALID = 'of_valid'


class _LabelledQueries(nn.Module):
    """Before one of mmdet's heads for queries: only valid ground truth is matched, see :class:`ValidRange`, as which it
    uses its assigner.

    mmdet's heads give every query a weight of 1, so that what the assigner leaves out would be background, and they do
    not know ignored regions.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self, 'assigner'):  # not where nothing is to be trained
            self.assigner = by_valid_range(self.assigner)

    def loss(self, *args: Any, batch_data_samples: SampleList, **kwargs: Any) -> dict[str, Tensor]:
        """As the head's; the ignored regions travel in the metainfo of the ground truth."""
        for sample in batch_data_samples:
            carry_regions(sample.gt_instances, sample.get('ignored_instances'))
        return super().loss(*args, batch_data_samples=batch_data_samples, **kwargs)

    def _get_targets_single(
        self, cls_score: Tensor, bbox_pred: Tensor, gt_instances: InstanceData, img_meta: dict
    ) -> tuple[Tensor, ...]:
        """As the head's, without a weight (N,) for queries that are neither matched nor background."""
        labels, weights, bbox_targets, bbox_weights, positive, negative = super()._get_targets_single(
            cls_score, bbox_pred, gt_instances, img_meta
        )
        labelled = torch.cat([positive, negative])
        weights = torch.zeros_like(weights).index_fill(0, labelled, 1)
        return labels, weights, bbox_targets, bbox_weights, positive, negative


@MODELS.register_module()
class ValidRangeDETRHead(_LabelledQueries, DETRHead):
    """DETR's head for chips.

    Args:
        num_classes: Number of classes.
        loss_cls: Config of the classification loss; None = that of ``DETRHead``.
        **kwargs: As for ``DETRHead``.
    """

    def __init__(self, num_classes: int, *, loss_cls: dict | None = None, **kwargs: Any) -> None:
        # DETRHead weighs the background so itself, but not in a class that inherits it.
        loss_cls = dict(loss_cls or signature(DETRHead).parameters['loss_cls'].default)
        weight = loss_cls.get('class_weight')
        background = loss_cls.pop('bg_cls_weight', weight)
        if weight is not None:
            loss_cls['class_weight'] = [weight] * num_classes + [background]
        super().__init__(num_classes, loss_cls=loss_cls, **kwargs)
        self.bg_cls_weight = background or 0


@MODELS.register_module()
class ValidRangeConditionalDETRHead(_LabelledQueries, ConditionalDETRHead):
    """Conditional DETR's head for chips; arguments as for ``ConditionalDETRHead``."""


@MODELS.register_module()
class ValidRangeDABDETRHead(_LabelledQueries, DABDETRHead):
    """DAB-DETR's head for chips; arguments as for ``DABDETRHead``."""


@MODELS.register_module()
class ValidRangeDeformableDETRHead(_LabelledQueries, DeformableDETRHead):
    """Deformable DETR's head for chips, of one stage or two; arguments as for ``DeformableDETRHead``."""


@MODELS.register_module()
class ValidRangeDINOHead(_LabelledQueries, DINOHead):
    """DINO's head for chips, in a :class:`ValidRangeDINO`; arguments as for ``DINOHead``.

    Denoising queries are made of valid objects, and so are their targets.
    """

    def get_dn_targets(
        self, batch_gt_instances: list[InstanceData], batch_img_metas: list[dict], dn_meta: dict
    ) -> tuple:
        """As DINO's, of valid ground truth.

        Raises:
            ValueError: If the queries were made of other objects.
        """
        if OF_VALID not in dn_meta:
            raise ValueError(
                'ValidRangeDINOHead in a detector that makes denoising queries of invalid objects, too: write '
                "model=dict(type='mmsniper.ValidRangeDINO', ...)"
            )
        taught = [plain_instances(gt_instances, chip_labels(gt_instances).valid) for gt_instances in batch_gt_instances]
        return super().get_dn_targets(taught, batch_img_metas, dn_meta)


@MODELS.register_module()
class ValidRangeDINO(DINO):
    """DINO for chips, with a :class:`ValidRangeDINOHead`: denoising queries are made of valid ground truth alone.

    mmdet makes them in the detector, out of a head's reach. Arguments as for ``DINO``.
    """

    def pre_decoder(self, *args: Any, batch_data_samples: SampleList | None = None, **kwargs: Any) -> tuple[dict, dict]:
        """As DINO's, which reads of the samples nothing but the objects to be denoised."""
        if self.training:
            batch_data_samples = [_taught(sample) for sample in batch_data_samples]
        decoder, head = super().pre_decoder(*args, batch_data_samples=batch_data_samples, **kwargs)
        if self.training:
            head['dn_meta'][OF_VALID] = True
        return decoder, head


def _taught(sample: DetDataSample) -> DetDataSample:
    """A sample of the valid ground truth of another."""
    valid = chip_labels(sample.gt_instances).valid
    return DetDataSample(metainfo=sample.metainfo, gt_instances=plain_instances(sample.gt_instances, valid))
