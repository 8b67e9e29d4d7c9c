"""ChipBatchSampler: batches in an order in which every image is loaded once."""

from __future__ import annotations

from torch.utils.data import BatchSampler

from ..registry import DATA_SAMPLERS
from .epoch_order import Deal
from .plan_sampler import ChipPlanSampler


@DATA_SAMPLERS.register_module()
class ChipBatchSampler(BatchSampler):
    """Puts the chips of an image into different batches that one worker makes, and that are not far from each other.

    That worker keeps the image meanwhile (:class:`ChipDataset`'s ``cache_mb``), so that it is loaded once and not per
    chip. Each chip still comes once per epoch, and images in random order. No batch has two chips of one image, unless
    the image has as many chips as the epoch has batches, is repeated by the data set, or the epoch is topped up to its
    length. The order is the same for any number of workers and, at the
    same number of chips per step, of ranks. With ``batch_sampler=None`` chips come in random order.

    Args:
        sampler: A :class:`ChipPlanSampler`; mmengine passes it.
        batch_size: Chips per batch; mmengine passes the loader's.
        lanes: Every ``lanes``-th batch goes on with the same images: a multiple of ``num_workers``, or several workers
            load the same image. ``lanes * batch_size`` images are kept at a time, by all workers together.
        drop_last: Leave out a last batch that is not full; the loader's own option of that name must then stay off.

    Raises:
        TypeError: If ``sampler`` is another one.
        ValueError: If ``lanes`` is not a whole number >= 1.
    """

    def __init__(self, sampler: ChipPlanSampler, batch_size: int, lanes: int = 8, drop_last: bool = False) -> None:
        if not isinstance(sampler, ChipPlanSampler):
            raise TypeError(
                f'ChipBatchSampler orders the chips of a ChipPlanSampler, but the loader has {type(sampler).__name__}; '
                "write sampler=dict(_delete_=True, type='mmsniper.ChipPlanSampler'), or batch_sampler=None"
            )
        if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f'lanes is a number of workers, or a multiple of it, >= 1; got {lanes!r}')
        super().__init__(sampler, batch_size, drop_last)
        self.lanes = lanes
        sampler.dealt = Deal(batch_size * sampler.world_size, lanes)
