"""Mines with several gloo ranks, each fed its share of the images as mmengine's sampler would: WORLD OUT_FILE PORT."""

import sys

import torch.distributed
import torch.multiprocessing


def rank_main(rank, world, out_file, port):
    """One rank: its images, padded so that all ranks have as many."""
    from scene import N_IMAGES, make_miner, make_sample

    address = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', init_method=address, rank=rank, world_size=world)
    miner = make_miner(out_file)
    for n in range(-(-N_IMAGES // world)):
        miner.process(None, [make_sample((n * world + rank) % N_IMAGES)])
    print(f'rank {rank}: {sorted(miner.evaluate(N_IMAGES).items())}', flush=True)
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    torch.multiprocessing.spawn(rank_main, (int(sys.argv[1]), *sys.argv[2:]), nprocs=int(sys.argv[1]))
