"""Looking at images in several ways, one after the other on each: time, network pixels, AP. SAHI is one of them."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.dataset import Compose, pseudo_collate
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

LOAD = dict(type='LoadImageFromFile')
KEYS = ('img_path', 'ori_shape', 'img_shape', 'scale_factor')
SLICES = (256, 384, 512, 768, 1024)
SILENCE = threading.Lock()
# A detection with such a score is counted as right or false.
CONFIDENT = 0.5
FIGURES = ('AP', 'AP50', 'AP_small', 'AP_medium', 'AP_large')
STATS = [0, 1, 3, 4, 5]  # their places in COCO's summary


def measure(ways: dict[str, Callable], truth: COCO, folder: Path, device: str = 'cpu') -> dict[str, dict[str, float]]:
    """Per way: network pixels and seconds per image, and FIGURES.

    Args:
        ways: Per name, from a path to (boxes (K, 4) xyxy, scores (K,), labels (K,)).
        truth: Images and objects.
        folder: Of the images.
        device: On a CPU, seconds are those that this process had; on others of the wall clock.
    """
    clock = time.process_time if device == 'cpu' else time.perf_counter
    images, ids = truth.loadImgs(sorted(truth.getImgIds())), sorted(truth.getCatIds())
    rows = {way: dict(pixels=0.0, seconds=0.0) for way in ways}
    found: dict[str, list[dict]] = {way: [] for way in ways}
    for look in ways.values():
        look(folder / images[0]['file_name'])  # warm up
    with counted_pixels() as seen:
        for image in images:
            for way, look in ways.items():
                start, before = clock(), seen[0]
                predictions = look(folder / image['file_name'])
                rows[way]['seconds'] += (clock() - start) / len(images)
                rows[way]['pixels'] += (seen[0] - before) / len(images)
                found[way] += coco_format(predictions, image['id'], ids)
    for way, row in rows.items():
        row.update(zip(FIGURES, map(float, average_precision(truth, found[way])), strict=True))
    return rows


@contextlib.contextmanager
def counted_pixels() -> Iterator[list[int]]:
    """Within, the first item of what is given counts what goes through any detector, padding included."""
    forward, seen = DetDataPreprocessor.forward, [0]

    def counting(self: DetDataPreprocessor, data: dict, training: bool = False) -> dict:
        data = forward(self, data, training)
        seen[0] += data['inputs'].shape[0] * data['inputs'].shape[-2] * data['inputs'].shape[-1]
        return data

    DetDataPreprocessor.forward = counting
    try:
        yield seen
    finally:
        DetDataPreprocessor.forward = forward


def with_best_slice(ways: dict[str, Callable], truth: COCO, folder: Path) -> dict[str, Callable]:
    """With SAHI's slices of the size that is best, if SAHI is among the ways."""
    ways = dict(ways)
    if 'SAHI, slices' in ways:
        size, sliced = best_slice(ways.pop('SAHI, slices'), truth, folder)
        ways[f'SAHI, slices of {size} px'] = sliced
    return ways


def detect(model: torch.nn.Module, pipeline: Compose, path: Path) -> tuple[np.ndarray, ...]:
    """As a test loop does it."""
    data = pseudo_collate([pipeline(dict(img_path=str(path), img_id=0))])
    with torch.no_grad():
        found = model.test_step(data)[0].pred_instances
    return found.bboxes.cpu().numpy(), found.scores.cpu().numpy(), found.labels.cpu().numpy()


def sahi_methods(config: str, checkpoint: str, device: str) -> dict[str, Callable]:
    """SAHI as it comes, and with a slice size to choose and a threshold that does not cut AP."""
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    def sliced(threshold: float, path: Path, **options: object) -> tuple[np.ndarray, ...]:
        if threshold not in models:
            models[threshold] = AutoDetectionModel.from_pretrained(
                model_type='mmdet',
                model_path=checkpoint,
                config_path=config,
                confidence_threshold=threshold,
                device=device,
            )
        result = get_sliced_prediction(str(path), models[threshold], verbose=0, **options)
        found = result.object_prediction_list
        boxes = np.array([one.bbox.to_xyxy() for one in found], float).reshape(-1, 4)
        return boxes, np.array([one.score.value for one in found]), np.array([one.category.id for one in found], int)

    models: dict[float, object] = {}

    def of_size(size: int) -> Callable:
        return lambda path: sliced(0.01, path, slice_height=size, slice_width=size)

    return {'SAHI': partial(sliced, 0.3), 'SAHI, slices': of_size}


def best_slice(of_size: Callable, truth: COCO, folder: Path) -> tuple[int, Callable]:
    """The slice size with the highest AP on the first images."""
    images = truth.loadImgs(sorted(truth.getImgIds())[: max(2, len(truth.imgs) // 4)])
    scores = {}
    for size in SLICES:
        found = [
            d
            for image in images
            for d in coco_format(of_size(size)(folder / image['file_name']), image['id'], sorted(truth.getCatIds()))
        ]
        scores[size] = average_precision(truth, found, [image['id'] for image in images])[0]
    print('SAHI, AP by slice size:', {size: round(float(score), 3) for size, score in scores.items()}, flush=True)
    size = max(scores, key=scores.get)
    return size, of_size(size)


def coco_format(predictions: tuple[np.ndarray, ...], image_id: int, category_ids: list[int]) -> list[dict]:
    """Detections as COCO results."""
    boxes, scores, labels = predictions
    boxes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).tolist()
    return [
        dict(image_id=image_id, bbox=box, score=float(score), category_id=category_ids[int(label)])
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Within, nothing is printed. One thread at a time: each would put the other's output back in the end."""
    with SILENCE, contextlib.redirect_stdout(io.StringIO()):
        yield


def evaluated(truth: COCO, found: list[dict], image_ids: list[int] | None = None) -> COCOeval:
    """COCO's evaluation of boxes, not an empty list of them."""
    with silent():
        coco = COCOeval(truth, truth.loadRes(found), 'bbox')
        coco.params.imgIds = image_ids or coco.params.imgIds
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    return coco


def average_precision(truth: COCO, found: list[dict], image_ids: list[int] | None = None) -> np.ndarray:
    """AP, AP50, AP small, medium, large."""
    return evaluated(truth, found, image_ids).stats[STATS] if found else np.zeros(len(STATS))


def confident(coco: COCOeval) -> tuple[float, float]:
    """Confident detections per image that are right, and that no object of their class explains at an IoU of 0.5."""
    right = wrong = 0
    # evalImgs is a flat list over categories, areas and images; the first area is "all".
    n_images, n_areas = len(coco.params.imgIds), len(coco.params.areaRng)
    for n, matched in enumerate(coco.evalImgs):
        if matched and (n // n_images) % n_areas == 0:
            counted = (np.array(matched['dtScores']) >= CONFIDENT) & ~matched['dtIgnore'][0]
            right += int((counted & (matched['dtMatches'][0] > 0)).sum())
            wrong += int((counted & (matched['dtMatches'][0] == 0)).sum())
    return right / n_images, wrong / n_images
