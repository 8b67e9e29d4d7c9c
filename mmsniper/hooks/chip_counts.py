"""What training batches hold, and how heads label it, as sums that several processes can add."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.dist import all_reduce
from torch import Tensor, nn

from ..chips import scale_name
from ..chips.scales import Scale
from .label_counts import COUNTED, LabelCounts

# Chips; valid and invalid objects and ignored regions in them; chips without a valid object.
OF_CHIPS = ('chips', 'valid', 'invalid', 'ignored', 'without_valid')


class ChipCounts:
    """Sums over batches, since they were last taken.

    Args:
        model: The detector that is trained.
        scales: The planner's; none if it is not known.
    """

    def __init__(self, model: nn.Module, scales: Sequence[Scale]) -> None:
        self.scales = [scale_name(scale) for scale in scales]
        self.labels = LabelCounts(model)
        self._begin()

    def _begin(self) -> None:
        self._per_scale = [0] * len(self.scales)
        self._of_chips = dict.fromkeys(OF_CHIPS, 0)

    def add(self, samples: Sequence[DetDataSample]) -> None:
        """Count a batch."""
        counts = self._of_chips
        for sample in samples:
            valid = sample.gt_instances.get('valid')
            if valid is None:  # no chip
                continue
            n_valid = int(valid.sum())
            counts['chips'] += 1
            counts['valid'] += n_valid
            counts['invalid'] += len(valid) - n_valid
            counts['ignored'] += len(sample.get('ignored_instances', ()))
            counts['without_valid'] += n_valid == 0
            if self.scales:
                self._per_scale[sample.scale_idx] += 1

    def take(self) -> Tensor:
        """(K,) float64: all sums, over all processes; from now on others are counted."""
        of_heads = list(self.labels.take().values())
        sums = torch.cat([torch.tensor([*self._per_scale, *self._of_chips.values()], dtype=torch.float64), *of_heads])
        self._begin()
        all_reduce(sums)
        return sums

    def scalars(self, sums: Tensor) -> dict[str, float]:
        """Shares and means, by names that visualizers show; of what was not counted, none.

        Args:
            sums: By :meth:`take`, or several of these added.
        """
        values = sums.tolist()
        n = len(self.scales)
        per_scale, of_chips = values[:n], dict(zip(OF_CHIPS, values[n:], strict=False))
        scalars = {}
        if n_chips := of_chips.pop('chips'):
            for name, count in zip(self.scales, per_scale, strict=True):
                scalars[f'chips/scale_{name.replace(" ", "")}'] = count / n_chips
            scalars.update({f'chips/{name}': count / n_chips for name, count in of_chips.items()})
        for head, name in enumerate(self.labels.names):
            first = n + len(OF_CHIPS) + head * len(COUNTED)
            images, priors, positives, left_out = values[first : first + len(COUNTED)]
            if images:
                scalars[f'chips/{name}_positives'] = positives / images
                scalars[f'chips/{name}_left_out'] = left_out / max(priors, 1)
        return scalars

    def describe(self, sums: Tensor) -> str:
        """In words, what :meth:`scalars` says; '' if nothing was counted."""
        scalars = {name.removeprefix('chips/'): value for name, value in self.scalars(sums).items()}
        parts = []
        if 'valid' in scalars:
            shares = [scalars[f'scale_{name.replace(" ", "")}'] for name in self.scales]
            named = zip(self.scales, shares, strict=True)
            if self.scales:
                parts.append('chips by scale ' + ', '.join(f'{name}: {share:.0%}' for name, share in named))
            parts.append(
                f'per chip {scalars["valid"]:.1f} valid and {scalars["invalid"]:.1f} invalid objects, '
                f'{scalars["ignored"]:.1f} ignored regions; {scalars["without_valid"]:.0%} without a valid object'
            )
        heads = [
            f'{name} {scalars[f"{name}_positives"]:.1f} positives per chip, {scalars[f"{name}_left_out"]:.1%} of its '
            'priors left out'
            for name in self.labels.names
            if f'{name}_positives' in scalars
        ]
        return '; '.join(parts + heads)
