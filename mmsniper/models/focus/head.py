"""FocusHead: which cells of a feature map show something small (AutoFocus, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from logging import WARNING
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...chips.focus import EITHER, FOCUS, focus_targets
from ..valid_range import sizes_of


class FocusHead(BaseModule):
    """A 3 x 3 and a 1 x 1 convolution, and a softmax over "nothing small" and "something small".

    What is small is decided in network pixels, so one head serves all scales; see
    :func:`~mmsniper.chips.focus.focus_targets`. Its weights are drawn aside: a detector with it starts as without it,
    and goes on to draw the same random numbers.

    Args:
        in_channels: Channels of the feature map.
        stride: Network pixels per cell.
        feat_channels: Channels between the two convolutions.
        loss_weight: Of its loss.
        init_cfg: As for any module of mmengine.

    Raises:
        ValueError: If an argument is malformed.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int = 16,
        feat_channels: int = 256,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Conv2d', std=0.01))
        for name, number in dict(in_channels=in_channels, stride=stride, feat_channels=feat_channels).items():
            if type(number) is not int or number < 1:
                raise ValueError(f'focus_head: {name} is a whole number >= 1; got {number!r}')
        if isinstance(loss_weight, bool) or not isinstance(loss_weight, (int, float)) or not loss_weight >= 0:
            raise ValueError(f'focus_head: loss_weight is a number >= 0; got {loss_weight!r}')
        self.stride, self.loss_weight = stride, loss_weight
        self.trained, self._said_cut = True, False
        with torch.random.fork_rng(devices=[]):
            self.conv = nn.Conv2d(in_channels, feat_channels, 3, padding=1)
            self.score = nn.Conv2d(feat_channels, 2, 1)

    def init_weights(self) -> None:
        """Draw the weights, aside."""
        device = self.score.weight.device
        with torch.random.fork_rng(devices=[device] if device.type == 'cuda' else []):
            super().init_weights()

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, h, w) -> scores (B, 2, h, w) of "nothing small" and "something small"."""
        return self.score(F.relu(self.conv(feature)))

    def loss(self, feature: Tensor, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Mean cross entropy over the cells that are taught.

        Args:
            feature: (B, C, h, w).
            samples: With ``gt_instances``: ``bboxes``, and ``sizes`` as ``PackChipInputs`` packs them, or boxes are
                taken to be whole; and ``ignored_instances``, where nothing is taught.
        """
        self.trained = True
        targets = self.targets(samples, tuple(feature.shape[-2:])).to(feature.device)
        taught = (targets != EITHER).sum().clamp(min=1)
        losses = F.cross_entropy(self(feature).float(), targets, ignore_index=EITHER, reduction='sum')
        return dict(loss_focus=self.loss_weight * losses / taught)

    def targets(self, samples: Sequence[DetDataSample], shape: tuple[int, int]) -> Tensor:
        """(B, h, w) int64, what the cells are taught; on the CPU."""
        found, counts = [], []
        for sample in samples:
            objects, regions = sample.gt_instances, sample.get('ignored_instances')
            bboxes = get_box_tensor(objects.bboxes)
            if 'sizes' not in objects and not self._said_cut:
                self._said_cut = True
                print_log(
                    'FocusHead: chips do not tell how large the objects are that they cut, so parts of large ones are '
                    'taught as something small. Behind ChipSampler, transforms other than RandomFlip, '
                    'PhotoMetricDistortion and YOLOXHSVRandomAug lose it',
                    'current',
                    WARNING,
                )
            sizes = objects.sizes if 'sizes' in objects else sizes_of(bboxes)
            found.append(torch.cat([bboxes, sizes[:, None]], dim=1))
            if regions is not None and len(regions):
                found.append(F.pad(get_box_tensor(regions.bboxes), (0, 1)))  # of size 0
            counts.append(len(objects) + (0 if regions is None else len(regions)))
        # To the CPU at once: a GPU is waited for each time.
        parts = torch.cat(found).cpu().split(counts)
        return torch.stack(
            [torch.from_numpy(focus_targets(part[:, :4], part[:, 4], shape, self.stride)) for part in parts]
        )

    @torch.no_grad()
    def predict(self, feature: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, h, w), the probability that a cell shows something small."""
        return self(feature).float().softmax(dim=1)[:, FOCUS]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        ours = {prefix + name: value.shape for name, value in self.state_dict().items()}
        found = {name: state_dict[name].shape for name in ours if name in state_dict}
        self.trained = found == ours
        if not found:
            text = (
                "The checkpoint has no FocusHead: this detector's is as it was drawn, to be trained before it is used"
            )
            print_log(text, 'current', WARNING)
        elif not self.trained:
            wrong = [name for name in ours if found.get(name) != ours[name]]
            text = f"The checkpoint's FocusHead is another one, by {', '.join(wrong)}: this detector's is untrained"
            print_log(text, 'current', WARNING)
        super()._load_from_state_dict(state_dict, prefix, *args)
