"""ProposalTTA: an RPN's proposals of several scales, as SNIPER mines negative chips from (sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from ..registry import MODELS


@MODELS.register_module()
class ProposalTTA(BaseTTAModel):
    """Runs an RPN on every view that ``TestTimeAug`` makes of an image, and puts all proposals together.

    Three scales of 300 proposals each give 900 an image. Nothing is suppressed: a place that fires at two scales is
    background worth seeing at both. Views may differ in scale only; boxes are in the image frame already.

    Args:
        module: The RPN or its config.
        data_preprocessor: For the module, if it has none.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """The first view's data sample per image, with the proposals of all views.

        Args:
            data_samples_list: Views per image, each with ``pred_instances`` (P, ...), image frame.

        Raises:
            ValueError: If a view is flipped.
        """
        merged = []
        for views in data_samples_list:
            for view in views:
                if view.get('flip', False):
                    raise ValueError(
                        f'{view.get("img_path", "an image")}: a view is flipped, and its proposals with it; take '
                        'RandomFlip out of the tta_pipeline: ProposalTTA joins views that differ in scale only'
                    )
            sample = views[0]
            sample.pred_instances = InstanceData.cat([view.pred_instances for view in views])
            merged.append(sample)
        return merged
