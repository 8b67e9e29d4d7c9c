import gc
import json
import logging
import os
import runpy
import sys
from collections import OrderedDict
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmdet
import numpy as np
import pytest
import torch
import yapf  # noqa: F401, its grammar is written into the user's cache at the first import: before there are workers
from mmdet.registry import MODELS
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config, config, utils
from mmengine.dataset import base_dataset
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer

# Before torch counts them, and for the processes that tests start: threads of small networks on a busy machine wait
# for each other more than they work.
os.environ.setdefault('OMP_NUM_THREADS', '1')
torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
PLANNER = dict(scales=[2.0, 1.0, (128, 128)], valid_ranges=[(None, 40), (30, 90), (70, None)], chip_size=128, stride=16)


def pytest_collection_finish():
    """Spare the garbage collector what all modules made: mmengine calls it for every data set it reads."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _mmdet_scope():
    """What mmdet's tools set up: types of mmdet need no prefix."""
    init_default_scope('mmdet')


@pytest.fixture(autouse=True)
def _own_visualizer(monkeypatch):
    """No visualizer of an earlier test: hooks take the last one by the order in which *names* first came up."""
    for kind in (Visualizer, DetLocalVisualizer):
        monkeypatch.setattr(kind, '_instance_dict', OrderedDict())


@pytest.fixture(autouse=True)
def _plain_config_text(monkeypatch):
    """Configs are dumped as they are: to lay one out takes yapf a second or more, and every runner does it thrice."""
    for place in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):  # the fork imports it when it needs it
        monkeypatch.setattr(f'{place}.FormatCode', lambda text, **style: (text, True), raising=False)


@pytest.fixture(scope='session', autouse=True)
def _looked_up_once():
    """What mmengine does anew for each config or data set, a quarter of all tests' time.

    For each base that is mmdet's, it lists what is installed and reads the metafiles of all models; it parses each base
    of every config, twice; for each data set it has all garbage collected.
    """
    folders = ROOT / 'configs', Path(mmdet.__path__[0]) / '.mim'
    shipped = tuple(str(folder.resolve()) for folder in folders)
    parse, parsed = Config._file2dict, {}

    def once(filename, *args, **kwargs):
        if not str(filename).startswith(shipped):
            return parse(filename, *args, **kwargs)
        key = str((filename, args, kwargs))
        if key not in parsed:
            parsed[key] = parse(filename, *args, **kwargs)
        return deepcopy(parsed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        patch.setattr(config, 'is_installed', cache(config.is_installed))
        patch.setattr(Config, '_file2dict', staticmethod(once))
        patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture
def messages(caplog):
    """What is logged, as mmengine logs it."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield lambda: [record.getMessage() for record in caplog.records]
    logger.removeHandler(caplog.handler)


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Runs a script of tools/ in this process, as a new one would import for seconds: its code and what it prints."""
    monkeypatch.syspath_prepend(ROOT / 'tools')

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)

    return run


@pytest.fixture(scope='session')
def configs():
    """The folder of configs."""
    return ROOT / 'configs'


@pytest.fixture
def planner_cfg():
    """A small recipe: three scales, 128 px chips."""
    return deepcopy(PLANNER)


@pytest.fixture
def write_coco(tmp_path):
    """Writes a COCO data set of filled rectangles and returns its config.

    Call with a list of images, each (width, height, [annotation dicts without ids; bbox xywh]).
    """

    def write(images, name='set', classes=('thing', 'other')):
        root = tmp_path / name
        (root / 'images').mkdir(parents=True)
        content = dict(images=[], annotations=[], categories=[{'id': 3 + i, 'name': c} for i, c in enumerate(classes)])
        for i, (width, height, annotations) in enumerate(images):
            pixels = np.full((height, width, 3), 60, np.uint8)
            for annotation in annotations:
                x, y, w, h = (int(v) if np.isfinite(v) else 0 for v in annotation['bbox'])
                pixels[max(y, 0) : y + h, max(x, 0) : x + w] = 220
                x, y, w, h = annotation['bbox']
                square = [[x, y, x + w, y, x + w, y + h, x, y + h]]
                full = dict(
                    id=len(content['annotations']) + 1,
                    image_id=i + 1,
                    category_id=3,
                    iscrowd=0,
                    area=w * h,
                    segmentation=square,
                )
                content['annotations'].append({**full, **annotation})
            cv2.imwrite(str(root / 'images' / f'{i}.png'), pixels)
            content['images'].append(dict(id=i + 1, file_name=f'{i}.png', width=width, height=height))
        (root / 'annotations.json').write_text(json.dumps(content))
        return dict(
            type='CocoDataset',
            data_root=f'{root}/',
            ann_file='annotations.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=classes),
        )

    return write


PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmsniper.LoadChipAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmsniper.ChipSampler'),
    dict(type='mmsniper.PackChipInputs'),
]


@pytest.fixture
def pipeline():
    """Load, cut, pack; boxes and polygons."""
    return deepcopy(PIPELINE)


@pytest.fixture
def some_images():
    """Four images: small and large objects, none at all, one crowd."""
    rng = np.random.default_rng(0)

    def objects(n, width, height, low, high):
        side = rng.integers(low, high, (n, 2))
        corner = (rng.uniform(0, 1, (n, 2)) * ([width, height] - side)).astype(int)
        return [
            dict(bbox=[int(v) for v in (*c, *s)], category_id=3 + i % 2)
            for i, (c, s) in enumerate(zip(corner, side, strict=True))
        ]

    crowd = dict(bbox=[10, 10, 100, 50], iscrowd=1, segmentation={'counts': [0, 300 * 200], 'size': [200, 300]})
    return [
        (320, 240, objects(6, 320, 240, 10, 60)),
        (200, 300, objects(4, 200, 300, 40, 150)),
        (150, 100, []),
        (300, 200, [*objects(3, 300, 200, 10, 80), crowd]),
    ]


@pytest.fixture
def tiny_cfg(configs, write_coco, some_images, planner_cfg, tmp_path):
    """The demo's config, narrower, on four small images; three epochs."""
    cfg = Config.fromfile(configs / 'demo/sniper_tiny_shapes.py')
    dataset = write_coco(some_images)
    ann_file = dataset['data_root'] + dataset['ann_file']
    evaluation = dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            data_root=dataset['data_root'],
            ann_file='annotations.json',
            data_prefix=dict(img='images/'),
            metainfo=dataset['metainfo'],
        ),
    )
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'work'),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                persistent_workers=False,
                dataset=dict(planner=planner_cfg, dataset=evaluation['dataset']),
            ),
            val_dataloader=evaluation,
            test_dataloader=evaluation,
            val_evaluator=dict(ann_file=ann_file),
            test_evaluator=dict(ann_file=ann_file),
            train_cfg=dict(max_epochs=3, val_interval=3),
            model=dict(
                backbone=dict(base_channels=8),
                neck=dict(in_channels=[8, 16, 32, 64]),
                roi_head=dict(bbox_head=dict(num_classes=2)),
            ),
        )
    )
    return cfg


@pytest.fixture(scope='session')
def tiny_mask_rcnn(tmp_path_factory):
    """Paths of a config with a test pyramid of two scales, and of its random weights; classes 'thing' and 'other'."""
    folder = tmp_path_factory.mktemp('tiny_mask_rcnn')
    base = Path(__file__).parents[1] / 'configs/_base_'
    bases = [
        'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
        str(base / 'sniper_runtime.py'),
        str(base / 'datasets/sniper_coco_detection.py'),
        str(base / 'tta/sniper_tta.py'),
    ]
    model = dict(
        backbone=dict(depth=18, base_channels=8, frozen_stages=-1, init_cfg=None),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=2),
            mask_roi_extractor=dict(out_channels=16),
            mask_head=dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=2),
        ),
    )
    tta_cfg = dict(scales=[1.0, (128, 128)], ranges=[(None, 60), (40, None)], max_canvas=1024, max_per_img=20)
    text = f'_base_ = {bases}\nmodel = {model}\ntta_model = dict(tta_cfg={tta_cfg})\n'
    (folder / 'tiny.py').write_text(text)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    detector = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
    meta = dict(dataset_meta=dict(classes=('thing', 'other'), palette=[(220, 20, 60), (0, 120, 200)]))
    torch.save(dict(state_dict=detector.state_dict(), meta=meta), folder / 'tiny.pth')
    return folder / 'tiny.py', folder / 'tiny.pth'
