"""LabelCounts: how a detector's heads label their priors, counted while it trains.

What is counted on a GPU stays there until it is asked for: a step never waits for a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.task_modules import AssignResult, SamplingResult
from torch import Tensor, nn

# A compiled model would be traced anew whenever a list has grown. (Older torch has no name for it.)
eager = getattr(getattr(torch, 'compiler', None), 'disable', lambda function: function)

COUNTED = ('images', 'priors', 'positives', 'left_out')


class LabelCounts:
    """Looks on where heads sample the priors that an assigner has labelled, or, in FCOS, label points by themselves.

    Methods of a model's samplers are wrapped until :meth:`stop`; no class is changed, and what the model computes is
    the same. Heads that do neither, as DETR's, are not counted.

    Args:
        model: A detector, wrapped for several processes or not.

    Attributes:
        names: Of the heads: 'rpn', 'roi', 'roi_s0', 'roi_s1', ..., 'bbox'.
    """

    def __init__(self, model: nn.Module) -> None:
        self._wrapped: list[tuple[Any, str]] = []
        self._counts: dict[str, list[list[int | Tensor]]] = {}
        for path, module in model.named_modules():
            name = path.split('.')[-1].removesuffix('_head') or 'head'
            samplers = getattr(module, 'bbox_sampler', None) or getattr(module, 'sampler', None)
            stages = samplers if isinstance(samplers, list) else [samplers]
            for n, sampler in enumerate(stages):
                if hasattr(sampler, 'sample'):
                    self._wrap(sampler, 'sample', f'{name}_s{n}' if len(stages) > 1 else name, _sampled)
            if isinstance(module, FCOSHead) and not hasattr(module, 'sampler'):  # VFNet's has one, and is one
                self._wrap(module, 'get_targets', name, _points_of(module.num_classes))

    @property
    def names(self) -> list[str]:
        """Names of the heads."""
        return list(self._counts)

    def take(self) -> dict[str, Tensor]:
        """Per head a (4,) float64 tensor, ``COUNTED``, of what was counted since the last time."""
        taken = {}
        for name, rows in self._counts.items():
            columns = zip(*rows, strict=True) if rows else [()] * len(COUNTED)
            taken[name] = torch.tensor([_total(column) for column in columns], dtype=torch.float64)
            rows.clear()
        return taken

    def stop(self) -> None:
        """Leave the model as it was."""
        for owner, method in self._wrapped:
            vars(owner).pop(method, None)
        self._wrapped.clear()

    def _wrap(self, owner: Any, method: str, name: str, count: Callable[..., Callable]) -> None:
        inner, rows = getattr(owner, method), self._counts.setdefault(name, [])

        @eager
        def counted(*args: Any, **kwargs: Any) -> Any:
            of_result = count(*args, **kwargs)
            result = inner(*args, **kwargs)
            rows.append(of_result(result))
            return result

        setattr(owner, method, counted)
        self._wrapped.append((owner, method))


def _sampled(assign_result: AssignResult, *_: Any, **__: Any) -> Callable[[SamplingResult], list[int | Tensor]]:
    # Before the sampler, which may leave out more: the best of the proposals are enough for it.
    n_priors, left_out = assign_result.gt_inds.numel(), (assign_result.gt_inds < 0).sum()
    return lambda result: [1, n_priors, result.pos_inds.numel(), left_out]


def _points_of(num_classes: int) -> Callable[..., Callable[[tuple], list[int | Tensor]]]:
    def points(_: Any, batch_gt_instances: list) -> Callable[[tuple], list[int | Tensor]]:
        def of_result(targets: tuple) -> list[int | Tensor]:
            labels = torch.cat(targets[0])
            positive = (labels >= 0) & (labels < num_classes)
            return [len(batch_gt_instances), labels.numel(), positive.sum(), (labels < 0).sum()]

        return of_result

    return points


def _total(column: tuple) -> float:
    if column and isinstance(column[0], Tensor):
        return torch.stack(column).sum().item()
    return float(sum(column))
