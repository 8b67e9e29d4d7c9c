"""Workers of the training loader against cores, memory and lanes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..datasets import ChipBatchSampler
from .findings import NOTE, WARNING, Finding
from .planned_run import PlannedRun


def check_workers(run: PlannedRun) -> Iterator[Finding]:
    """There are cores and memory for them, and no two load the same images."""
    workers, cores = int(run.cfg.train_dataloader.get('num_workers', 0)), available_cores()
    local = int(os.environ.get('LOCAL_WORLD_SIZE', min(run.world_size, 8)))
    lanes = run.train.batch_sampler if run.train is not None else None
    if isinstance(lanes, ChipBatchSampler) and workers and lanes.lanes % workers:
        fit = workers * max(1, round(lanes.lanes / workers))
        yield Finding(
            WARNING,
            'workers',
            f'{workers} workers share {lanes.lanes} lanes',
            'So several of them load the same image.',
            f'train_dataloader = dict(batch_sampler=dict(lanes={fit}))',
        )
    if not workers:
        yield Finding(
            NOTE,
            'workers',
            'num_workers=0: loading and training take turns',
            'Right for debugging; otherwise a step waits for its images.',
            f'train_dataloader = dict(num_workers={max(1, min(4, cores // local))})',
        )
    elif workers * local > 2 * cores:
        yield Finding(
            NOTE,
            'workers',
            f'{workers} workers' + (f' x {local} processes' if local > 1 else '') + f' share {cores} cores',
            'More workers than cores load no faster, and take memory.',
            f'train_dataloader = dict(num_workers={max(1, cores // local)})',
        )
    memory = total_memory()
    if run.chips is not None and workers and memory:
        kept = run.chips.image_cache.max_bytes * workers * local
        # An epoch keeps no more images than this at a time.
        images = max(run.step_samples) * lanes.lanes * local if isinstance(lanes, ChipBatchSampler) else 0
        kept = min(kept, images * 3 * int(run.chips.table.sizes.prod(axis=1).mean()))
        if kept > memory / 2:
            fit = int(memory / 4 / (workers * local) / 2**20)
            yield Finding(
                WARNING,
                'workers',
                f'the workers may keep {kept / 1e9:.0f} GB of loaded images, of {memory / 1e9:.0f} GB of memory',
                'Where memory ends, the system stops a worker, and with it the run.',
                f'train_dataloader = dict(dataset=dict(cache_mb={fit}))',
            )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def total_memory() -> int | None:
    """Bytes of this machine's memory; None where it does not say."""
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, ValueError, OSError):
        return None
