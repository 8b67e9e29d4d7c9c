"""Tests with the oracle in mmengine's test loop, alone or as several gloo ranks: WORLD PORT WORK_DIR DATASET_JSON."""

import json
import os
import sys
from pathlib import Path

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import Runner

from mmsniper.models import MultiScaleChipTTA

CFG = dict(
    scales=[2.0, 1.0, 0.5],
    ranges=[(None, 30), (20, 90), (60, None)],
    flip=True,
    nms=dict(type='nms', iou_threshold=0.5),
    max_canvas=300,
)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]


@MODEL_WRAPPERS.register_module(force=True)
class CpuDistributed(MMDistributedDataParallel):
    """mmengine's own, which would name a GPU."""

    def __init__(self, module, device_ids, **kwargs):
        super().__init__(module, **kwargs)


def figures(detector, dataset, work_dir, launcher='none'):
    """Boxes and masks of a data set, evaluated."""
    ann_file = dataset['data_root'] + dataset['ann_file']
    runner = Runner(
        model=MultiScaleChipTTA(detector, CFG),
        work_dir=str(work_dir),
        test_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(dataset, pipeline=PIPELINE, test_mode=True),
        ),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='CocoMetric', ann_file=ann_file, metric=['bbox', 'segm']),
        launcher=launcher,
        cfg=dict(model_wrapper_cfg=dict(type='CpuDistributed')),
        default_scope='mmdet',
        experiment_name=f'tta{work_dir}{os.getpid()}'.replace('/', '_'),
    )
    return runner.test()


def rank_main(rank, world, port, work_dir, dataset):
    """One rank."""
    os.environ['LOCAL_RANK'] = str(rank)
    address = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', init_method=address, rank=rank, world_size=world)
    found = figures(Oracle('pasted'), json.loads(dataset), work_dir, 'pytorch')
    (Path(work_dir) / f'figures_{rank}.json').write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    from conftest import Oracle

    world = int(sys.argv[1])
    # Forked, because imports take longer than all the rest.
    torch.multiprocessing.start_processes(rank_main, (world, *sys.argv[2:]), nprocs=world, start_method='fork')
