"""A recipe's training step with a clock in every part; its memory; on a GPU its speed behind the loader."""

import argparse
import copy
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import chain, cycle, islice, repeat

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, load_checkpoint
from torch.utils.data import DataLoader

GPU_MEMORY = 16 * 2**30


class Clock:
    """Seconds by part: of the process, or on the GPU between events."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda
        self.spans: list[tuple] = []

    def now(self) -> float | torch.cuda.Event:
        """Processor time, or an event that takes the GPU's."""
        if not self.cuda:
            return time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def timed(self, name: str, function: Callable) -> Callable:
        """A function whose calls are added to a part."""

        def call(*args, **kwargs):
            start = self.now()
            try:
                return function(*args, **kwargs)
            finally:
                self.spans.append((name, start, self.now()))

        return call

    def read(self) -> dict[str, float]:
        """Seconds by part since the last reading."""
        if self.cuda:
            torch.cuda.synchronize()
        parts: dict[str, float] = defaultdict(float)
        for name, start, end in self.spans:
            parts[name] += start.elapsed_time(end) / 1000 if self.cuda else end - start
        self.spans.clear()
        return parts


class Step:
    """A recipe's network, optimizer and some batches, with a clock in every part of the training step."""

    def __init__(self, cfg: Config, args: argparse.Namespace, batch_size: int | None, n_batches: int) -> None:
        torch.manual_seed(0)
        model = self.model = MODELS.build(cfg.model).to(args.device).train()
        if args.checkpoint:
            load_checkpoint(model, str(args.checkpoint), map_location='cpu')
        else:  # the untrained RPN proposes its anchors: boxes at random would differ from recipe to recipe
            torch.nn.init.zeros_(model.rpn_head.rpn_reg.weight)
        if args.device == 'cuda':
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
        self.optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        loader = build_loader(cfg, batch_size, workers=0)
        next(iter(loader))  # compiles the planner
        start = time.process_time()
        self.batches = list(islice(cycle(loader), n_batches))
        self.loading = time.process_time() - start
        self.pixels = [self._pixels(batch) for batch in self.batches]
        self.clock = Clock(args.device == 'cuda')
        for part, owner, method in (
            ('preprocessing', model.data_preprocessor, 'forward'),
            ('backbone, neck', model, 'extract_feat'),
            ('RPN', model.rpn_head, 'loss_and_predict'),
            ('proposals', model.rpn_head, 'predict_by_feat'),
            ('RoI head', model.roi_head, 'loss'),
            ('backward', self.optim_wrapper, 'backward'),
            ('optimizer', self.optim_wrapper, 'step'),
            ('step', model, 'train_step'),
        ):
            setattr(owner, method, self.clock.timed(part, getattr(owner, method)))

    def _pixels(self, batch: dict) -> int:
        """Pixels of a batch as the network sees it."""
        n, _, height, width = self.model.data_preprocessor(copy.deepcopy(batch), training=True)['inputs'].shape
        return n * height * width

    def run(self, batch: dict) -> dict[str, float]:
        """Train on a batch; seconds by part."""
        batch = copy.deepcopy(batch)  # the preprocessor edits its samples
        self.clock.read()
        self.model.train_step(batch, self.optim_wrapper)
        parts = self.clock.read()
        whole = parts.pop('step')
        parts['RPN'] -= parts['proposals']
        return {**parts, 'other': whole - sum(parts.values())}


def build_loader(cfg: Config, batch_size: int | None, workers: int | None) -> DataLoader:
    """The loader of a config, with another size of batch or number of workers if one is given."""
    settings = copy.deepcopy(cfg.train_dataloader)
    if batch_size:
        settings.batch_size = batch_size
    if workers == 0:
        settings.update(num_workers=0, persistent_workers=False)
    return Runner.build_dataloader(settings, seed=0)


def peak_of_a_step(step: Step, cuda: bool) -> float:
    """Peak memory in MB of one training step, above what is there now."""

    def used() -> float:
        if cuda:
            return torch.cuda.max_memory_allocated() / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    before = used()
    step.run(step.batches[0])
    return used() - before


def on_gpu(cfg: Config, args: argparse.Namespace, n_steps: int = 40) -> dict[str, float]:
    """Samples per second of the config's loader and network, the share of it spent waiting, the largest batch."""
    step = Step(cfg, args, None, 1)
    waited, samples, start = 0.0, 0, None
    batches = chain.from_iterable(repeat(build_loader(cfg, None, None)))
    for n in range(n_steps + 10):
        if n == 10:  # workers are up, cuDNN has made its choice
            torch.cuda.synchronize()
            waited, samples, start = 0.0, 0, time.perf_counter()
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        samples += len(batch['inputs'])
        step.model.train_step(batch, step.optim_wrapper)
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return dict(samples_per_second=samples / seconds, waiting=waited / seconds, largest_batch=largest_batch(step, cfg))


def largest_batch(step: Step, cfg: Config) -> int:
    """Samples of the largest batch that trains in GPU_MEMORY, by doubling, then halving the distance."""
    samples = build_loader(cfg, 1, 0).dataset
    biggest = max((samples[n] for n in range(min(len(samples), 100))), key=lambda sample: sample['inputs'].numel())

    def fits(size: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            step.run(pseudo_collate([copy.deepcopy(biggest) for _ in range(size)]))
        except torch.cuda.OutOfMemoryError:
            return False
        return torch.cuda.max_memory_reserved() <= GPU_MEMORY

    fitting, failing = 0, 1
    while fits(failing):
        fitting, failing = failing, 2 * failing
    while failing - fitting > 1:
        size = (fitting + failing) // 2
        fitting, failing = (size, failing) if fits(size) else (fitting, size)
    return fitting
