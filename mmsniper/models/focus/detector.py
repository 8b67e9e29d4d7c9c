"""WithFocus: any detector of mmdet, with a FocusHead on one of its feature maps (AutoFocus, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor

from ...registry import MODELS
from .head import FocusHead

# Side of the image by which a detector is asked for the strides and channels of its features.
PROBE = 256


@MODELS.register_module(name='WithFocus')
def with_focus(detector: str, focus_head: dict | None = None, **settings: Any) -> BaseDetector:
    """Build a detector that trains and predicts FocusPixels, too; all else is as it was.

    In a config, two lines beside the base's ``model``::

        model = dict(type='mmsniper.WithFocus', detector='FasterRCNN', focus_head=dict(stride=16))

    The features are computed once for both. The branch adds ``loss_focus``, and ``focus`` to the data samples:
    (h, w) probabilities, cells of ``stride`` network pixels. The detector's weights keep their names, so checkpoints
    load with and without the branch.

    Args:
        detector: Type of the detector.
        focus_head: Settings of :class:`FocusHead`; its ``in_channels`` follow from the detector.
        **settings: The detector's own.

    Raises:
        TypeError: If the type is no detector, or one without ``extract_feat``.
        ValueError: If the detector has no feature map of this stride; names those that there are.
    """
    with MODELS.switch_scope_and_registry(None) as registry:
        base = registry.get(detector)
    if not isinstance(base, type) or not issubclass(base, BaseDetector) or not hasattr(base, 'extract_feat'):
        raise TypeError(f'WithFocus: detector={detector!r} is no detector of mmdet that extracts features')
    return _focused(base)(focus_head=focus_head or {}, **settings)


@cache
def _focused(base: type[BaseDetector]) -> type[BaseDetector]:
    return type(f'{base.__name__}WithFocus', (_WithFocus, base), dict(__doc__=base.__doc__, __module__=__name__))


class _WithFocus(BaseDetector):
    """What is added to a detector; stands before it among the bases."""

    def __init__(self, focus_head: dict, **settings: Any) -> None:
        super().__init__(**settings)
        settings = dict(stride=16, **focus_head) if 'stride' not in focus_head else dict(focus_head)
        maps = [(PROBE // feature.shape[-1], feature.shape[1]) for feature in self._probe()]
        strides = [stride for stride, _ in maps]
        if settings['stride'] not in strides:
            raise ValueError(
                f'focus_head: {type(self).__mro__[2].__name__} has no feature map of stride {settings["stride"]}; '
                f'its strides are {strides}'
            )
        self.focus_level = strides.index(settings['stride'])
        self.focus_head = FocusHead(maps[self.focus_level][1], **settings)

    @torch.no_grad()
    def _probe(self) -> Sequence[Tensor]:
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        features = super().extract_feat(torch.zeros(1, 3, PROBE, PROBE))
        for module, training in modes:
            module.training = training
        return features

    def extract_feat(self, batch_inputs: Tensor) -> Sequence[Tensor]:
        """As the detector does; the branch looks at the same."""
        features = super().extract_feat(batch_inputs)
        self._feature: Tensor | None = features[self.focus_level]
        return features

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict:
        """The detector's losses, and ``loss_focus``."""
        losses = super().loss(batch_inputs, batch_data_samples)
        return {**losses, **self.focus_head.loss(self._taken(), batch_data_samples)}

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], *args: Any, **kwargs: Any
    ) -> list[DetDataSample]:
        """The detector's predictions; each data sample gets ``focus``, for as many cells as the image has."""
        shapes = [sample.img_shape for sample in batch_data_samples]
        found = super().predict(batch_inputs, batch_data_samples, *args, **kwargs)
        stride = self.focus_head.stride
        for sample, shape, focus in zip(found, shapes, self.focus_head.predict(self._taken()), strict=True):
            rows, columns = (-(-side // stride) for side in shape[:2])
            sample.focus = focus[:rows, :columns]
        return found

    def _taken(self) -> Tensor:
        feature, self._feature = self._feature, None
        return feature
