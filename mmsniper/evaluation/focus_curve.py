"""What AutoFocus costs and finds at several thresholds, against the full pyramid (AutoFocus, sec. 4)."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.runner import Runner, load_checkpoint
from numpy.typing import NDArray

from ..chips.focus import SMALL, TINY
from ..models import MultiScaleChipTTA
from ..models.pyramid import follow_config
from ..models.tta_inputs import images_of
from ..models.valid_range import sizes_of
from ..registry import type_name
from .multi_scale_val_loop import set_pipeline

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
NAMES = dict(AP='mAP', AP50='mAP_50', AP_small='mAP_s', AR_small='AR_s@1000')
ITEMS = list(NAMES.values())


def focus_runner(cfg: Config, checkpoint: str | Path) -> Runner:
    """A runner whose model is the config's ``tta_model`` around its detector, its weights loaded.

    Args:
        cfg: With ``tta_model`` and ``tta_pipeline``; it is not changed.
        checkpoint: Of the detector.

    Raises:
        TypeError: If ``tta_cfg.focus`` has a setting that does not exist.
        ValueError: If the detector has no trained ``FocusHead``, or the config not what a test at several scales takes.
    """
    cfg = copy.deepcopy(cfg)
    if lacks := [key for key in ('tta_model', 'tta_pipeline', 'test_dataloader') if not cfg.get(key)]:
        raise ValueError(f'the config has no {" and no ".join(lacks)}: inherit _base_/tta/sniper_tta.py')
    if not isinstance(cfg.get('test_evaluator'), dict) or 'Coco' not in cfg.test_evaluator.type:
        raise ValueError("test_evaluator is to be one of COCO's metric: dict(type='CocoMetric', ...)")
    if not any(type_name(step.type).endswith('Annotations') for step in cfg.tta_pipeline):
        raise ValueError(
            "tta_pipeline loads no annotations, of which small objects are taken: dict(type='LoadAnnotations', "
            'with_bbox=True) before what packs'
        )
    set_pipeline(cfg.test_dataloader.dataset, cfg.tta_pipeline)
    cfg.model = dict(copy.deepcopy(cfg.tta_model), module=cfg.model)
    cfg.test_evaluator.update(metric='bbox', metric_items=ITEMS)
    runner = Runner.from_cfg(cfg)
    # Not by the runner: its hooks want to have trained.
    load_checkpoint(runner.model.module, str(checkpoint), map_location='cpu')
    follow_config(runner.model, cfg)
    if runner.model.given_focus is None:
        runner.model.refocus({})
    return runner


def focus_curve(runner: Runner, thresholds: Iterable[float] = THRESHOLDS) -> list[dict]:
    """Test with the full pyramid and at several thresholds, image by image in turn, so that load hits all alike.

    Args:
        runner: Of :func:`focus_runner`; its test data are used.
        thresholds: In place of those in ``tta_cfg.focus``; its other settings stay.

    Returns:
        Rows, the full pyramid's first: ``threshold`` (None), ``AP``, ``AP50``, ``AP_small``, ``AR_small`` (-1 without
        such objects), ``pixels`` per image, as a share of the full pyramid's as well, ``seconds`` per image (of the
        processor, or of a GPU), and ``recall``, the share of objects of 5 to 64 px in a coarser scale of which a cell
        is over the threshold.
    """
    tta: MultiScaleChipTTA = runner.model.eval()
    given = tta.given_focus
    settings = {None: None, **{threshold: with_threshold(given, threshold) for threshold in thresholds}}
    loader = runner.build_dataloader(runner.cfg.test_dataloader)
    evaluators = {key: runner.build_evaluator(copy.deepcopy(runner.cfg.test_evaluator)) for key in settings}
    shown = [loader.dataset.get_data_info(n)['img_id'] for n in range(len(loader.dataset))]
    for evaluator in evaluators.values():
        evaluator.dataset_meta = loader.dataset.metainfo
        for metric in evaluator.metrics:
            metric.img_ids = shown  # the file may have more
    spent = dict.fromkeys(settings, 0.0)
    pixels = dict.fromkeys(settings, 0)
    best: list[NDArray] = [np.zeros(0)]
    for data in loader:
        best.append(best_probabilities(tta, data))
        for key, focus in settings.items():
            tta.refocus(focus)
            mine = copy.deepcopy(data)
            start = seconds()
            found = tta.test_step(mine)
            spent[key] += seconds() - start
            pixels[key] += sum(sample.view_pixels for sample in found)
            evaluators[key].process(data_samples=found, data_batch=data)
    tta.refocus(given)
    small, rows = np.concatenate(best), []
    for key, evaluator in evaluators.items():
        figures = {name.split('/')[-1]: value for name, value in evaluator.evaluate(len(shown)).items()}
        row = {name: float(figures.get(f'bbox_{item}', 0.0)) for name, item in NAMES.items()}
        cost = dict(pixels=pixels[key] / len(shown), share=pixels[key] / pixels[None], seconds=spent[key] / len(shown))
        recall = float((small > key).mean()) if key is not None and len(small) else None
        rows.append(dict(threshold=key, **row, **cost, recall=recall))
    return rows


def with_threshold(focus: Mapping | Sequence[Mapping | None], threshold: float) -> Mapping | Sequence[Mapping | None]:
    """Settings as ``tta_cfg.focus`` has them, with another threshold."""
    if isinstance(focus, Mapping):
        return dict(focus, threshold=threshold)
    return [None if one is None else dict(one, threshold=threshold) for one in focus]


def best_probabilities(tta: MultiScaleChipTTA, data: dict) -> NDArray[np.float64]:
    """Per small object and coarser scale the highest probability of a cell it is in, the scales looked at whole."""
    tta.refocus(None)
    images, samples = images_of(data), copy.deepcopy(list(data['data_samples']))
    views = [
        view
        for n, image in enumerate(images)
        for view in tta.choose_views(n, image, samples[n])
        if view.scale_idx and not view.flip
    ]
    stride, found = tta.module.focus_head.stride, []
    with torch.no_grad():
        seen = tta.run_views(images, samples, views)
    for view, sample in seen:
        objects = samples[view.image_idx].gt_instances
        bboxes = get_box_tensor(objects.bboxes).cpu()
        x1, y1, x2, y2 = view.window
        zoom = bboxes.new_tensor(view.zoom).repeat(2)
        inside = ((bboxes >= bboxes.new_tensor([x1, y1] * 2)) & (bboxes <= bboxes.new_tensor([x2, y2] * 2))).all(1)
        sizes = sizes_of(bboxes * zoom)
        focus = sample.focus.cpu()
        for box in ((bboxes - bboxes.new_tensor([x1, y1] * 2)) * zoom / stride)[
            inside & (sizes > TINY) & (sizes < SMALL)
        ]:
            left, top, right, bottom = *box[:2].floor().int().tolist(), *box[2:].ceil().int().tolist()
            found.append(float(focus[top:bottom, left:right].max()))
    return np.array(found)


def seconds() -> float:
    """Of this process; on a GPU, of the clock, when all of its work is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def cheapest(rows: list[dict], loss: float) -> dict:
    """The row of the fewest pixels whose AP is at most so much below the full pyramid's."""
    return min((row for row in rows if row['AP'] >= rows[0]['AP'] - loss - 1e-9), key=lambda row: row['pixels'])
