"""Several processes of one job, with GPUs or without."""

from __future__ import annotations

import os

import torch.distributed
from mmengine.device import get_device
from mmengine.dist import barrier, get_dist_info, init_dist, is_distributed

# Without GPUs mmengine's wrapper must not be given the number of one; for the rest as mmengine wraps a model, but that
# parameters without gradients are no error.
CPU_MODEL = dict(
    type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=True
)


def has_devices() -> bool:
    """Whether each process can have a GPU, or another device that mmengine's launchers know."""
    return get_device() not in ('cpu', 'mps')


def join(launcher: str) -> tuple[int, int]:
    """Join the processes of a launcher; as mmengine does where there are GPUs, and by gloo where there are none.

    mmengine's ``init_dist`` sets a CUDA device, which fails on a machine without.

    Args:
        launcher: 'none', 'pytorch' (torchrun), 'slurm' or 'mpi'.

    Returns:
        This process's rank, and the number of processes.

    Raises:
        RuntimeError: If the launcher did not start this process, or is not 'pytorch' on a machine without GPUs.
    """
    if launcher == 'none' or is_distributed():
        return get_dist_info()
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise RuntimeError(
            '--launcher pytorch is for processes that torchrun has started, and this one was not: torchrun '
            '--nproc_per_node=2 -m mmsniper NAME ... --launcher pytorch'
        )
    if has_devices():
        init_dist(launcher)
    elif launcher == 'pytorch':
        torch.distributed.init_process_group('gloo')
    else:
        raise RuntimeError(
            f'--launcher {launcher} needs a GPU per process; without, use torchrun and --launcher pytorch'
        )
    return get_dist_info()


def leave(launcher: str) -> None:
    """Wait for the others, then take this process out of the group that :func:`join` made.

    Args:
        launcher: As for :func:`join`.
    """
    if launcher != 'none':
        barrier()
        torch.distributed.destroy_process_group()
