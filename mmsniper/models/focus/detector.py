"""WithFocus: any detector of mmdet, with a FocusHead on one of its feature maps (AutoFocus, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ...registry import MODELS
from .head import FocusHead

# Side of the image by which a detector is asked for the strides and channels of its features.
PROBE = 256
HEAD = ('in_channels', 'stride', 'feat_channels', 'loss_weight', 'init_cfg')


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
        focus_head: Settings of :class:`FocusHead`. The feature map of its ``stride``, and so its ``in_channels``, are
            found by showing the detector an image, on the CPU; with both ``in_channels`` and ``level``, the index of
            the map, they are taken as given.
        **settings: The detector's own.

    Raises:
        TypeError: If the type is no detector, or one without ``extract_feat``, or a setting does not exist.
        ValueError: If a setting is malformed, or the detector has no feature map of this stride; names those that there
            are.
    """
    with MODELS.switch_scope_and_registry(None) as registry:
        base = registry.get(detector)
    if not isinstance(base, type) or not issubclass(base, BaseDetector) or not hasattr(base, 'extract_feat'):
        raise TypeError(f'WithFocus: detector={detector!r} is no detector of mmdet that extracts features')
    return _focused(base)(focus_head=focus_head or {}, **settings)


@cache
def _focused(base: type[BaseDetector]) -> type[BaseDetector]:
    name = f'{base.__name__}WithFocus'
    return type(name, (_WithFocus, base), dict(__doc__=base.__doc__, __module__=__name__, focus_base=base))


def _blank(base: type[BaseDetector]) -> BaseDetector:
    return _focused(base).__new__(_focused(base))


class _WithFocus(BaseDetector):
    """What is added to a detector; stands before it among the bases."""

    focus_base: type[BaseDetector]

    def __init__(self, focus_head: dict, **settings: Any) -> None:
        super().__init__(**settings)
        head = dict(focus_head)
        level, stride = head.pop('level', None), head.setdefault('stride', 16)
        if unknown := set(head) - set(HEAD):
            raise TypeError(f'focus_head has no setting {sorted(unknown)}; there are {sorted({*HEAD, "level"})}')
        if (level is None) != ('in_channels' not in head):
            raise ValueError(
                'focus_head: level and in_channels are given together, or neither, and both are found by stride; got '
                f'{dict(focus_head)}'
            )
        if level is None:
            maps = self._probe()
            strides = [PROBE // feature.shape[-1] for feature in maps]
            if stride not in strides:
                raise ValueError(
                    f'focus_head: {self.focus_base.__name__} has no feature map of stride {stride!r}; its strides are '
                    f'{strides}'
                )
            level = strides.index(stride)
            head['in_channels'] = maps[level].shape[1]
        self.focus_level, self.focus_head = level, FocusHead(**head)
        self._looking, self._feature = False, None

    @torch.no_grad()
    def _probe(self) -> Sequence[Tensor]:
        modes = [(module, module.training) for module in self.modules()]
        first = next((module for module in self.modules() if isinstance(module, nn.Conv2d)), None)
        image = torch.zeros(1, first.in_channels if first else 3, PROBE, PROBE)
        self.eval()
        try:
            features = super().extract_feat(image)
        except Exception as error:  # whatever a backbone may raise
            raise ValueError(
                f'focus_head: {self.focus_base.__name__} cannot be shown an image on the CPU to find its feature maps '
                f'({error}): write focus_head=dict(stride=..., level=..., in_channels=...)'
            ) from error
        finally:
            for module, training in modes:
                module.training = training
        if any(not isinstance(feature, Tensor) or len(feature) != 1 for feature in features):
            raise ValueError(f'focus_head: {self.focus_base.__name__} has several feature maps of one image at a level')
        return features

    def extract_feat(self, batch_inputs: Tensor) -> Sequence[Tensor]:
        """As the detector does; within :meth:`loss` and :meth:`predict` the branch looks at the same."""
        features = super().extract_feat(batch_inputs)
        if self._looking:
            if not 0 <= self.focus_level < len(features):
                raise ValueError(f'focus_head: level={self.focus_level}, but there are {len(features)} feature maps')
            self._feature = features[self.focus_level]
            side, cells, stride = batch_inputs.shape[-1], self._feature.shape[-1], self.focus_head.stride
            if cells != -(-side // stride):
                raise ValueError(
                    f'focus_head: level={self.focus_level} has {cells} cells of {side} px, which stride={stride} does '
                    'not: leave out level and in_channels, and the map of the stride is found'
                )
        return features

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict:
        """The detector's losses, and ``loss_focus``."""
        with self._look():
            losses = super().loss(batch_inputs, batch_data_samples)
            return {**losses, **self.focus_head.loss(self._feature, batch_data_samples)}

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], *args: Any, **kwargs: Any
    ) -> list[DetDataSample]:
        """The detector's predictions; each data sample gets ``focus``, for as many cells as the image has."""
        shapes = [sample.img_shape for sample in batch_data_samples]
        stride = self.focus_head.stride
        with self._look():
            found = super().predict(batch_inputs, batch_data_samples, *args, **kwargs)
            for sample, shape, focus in zip(found, shapes, self.focus_head.predict(self._feature), strict=True):
                rows, columns = (-(-side // stride) for side in shape[:2])
                sample.focus = focus[:rows, :columns]
        return found

    @contextmanager
    def _look(self) -> Iterator[None]:
        """Within, the feature map is kept."""
        self._looking = True
        try:
            yield
        finally:
            self._looking, self._feature = False, None

    def __reduce__(self) -> tuple:
        """Its class is made, so no other process finds it by its name."""
        return _blank, (self.focus_base,), self.__dict__.copy()
