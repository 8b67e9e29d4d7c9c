"""The annotation files that nobody has checked as they were read: of mmdet's own data sets, and the evaluator's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.fileio import get_local_path

from ..datasets.annotations import check_loaded
from ..datasets.coco_file import CocoFile
from ..registry import type_name
from .classes import class_names
from .findings import ERROR, Finding, of_error
from .logged import only_errors
from .planned_run import PlannedRun


def check_files(run: PlannedRun) -> Iterator[Finding]:
    """They have the classes; validation's, all that COCO's evaluation wants, and the images of the data set."""
    if run.data is not None and run.chips is None:
        try:
            check_loaded(run.data)
        except (ValueError, OSError) as error:
            yield of_error('training data', error)
    if not run.validates:
        return
    try:
        check_loaded(run.val)
    except (ValueError, OSError) as error:
        yield of_error('validation', error)
        return
    evaluators = run.cfg.get('val_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        if type_name(evaluator.get('type')) == 'CocoMetric' and evaluator.get('ann_file'):
            yield from _check_file(run, evaluator)


def _check_file(run: PlannedRun, evaluator: dict) -> Iterator[Finding]:
    path = evaluator['ann_file']
    metrics = evaluator.get('metric', 'bbox')
    with_masks = 'segm' in ([metrics] if isinstance(metrics, str) else metrics)
    own = getattr(run.val, 'ann_file', None)
    same = own and Path(own).absolute() == Path(path).absolute()
    if (same and not with_masks) or evaluator.get('format_only'):
        return
    try:
        with get_local_path(path, backend_args=evaluator.get('backend_args')) as local:
            file = CocoFile(local, path, with_masks and 'evaluated', evaluated=True)
        with only_errors():  # what is left out is said for the data set
            file.check(class_names(getattr(run.val, 'metainfo', None)))
    except (ValueError, OSError) as error:
        yield of_error('validation', error)
        return
    known = {image['id'] for image in file.content['images']}
    ids = [run.val.get_data_info(n).get('img_id') for n in range(0, len(run.val), max(1, len(run.val) // 1000))]
    if unknown := [str(image_id) for image_id in ids if image_id not in known]:
        yield Finding(
            ERROR,
            'validation',
            f'val_evaluator.ann_file {path} lacks {len(unknown)} of the {len(ids)} images of val_dataloader that were '
            f'looked up (ids {", ".join(unknown[:5])})',
            'Results of other images than the annotations are compared, or evaluation fails.',
            f'val_evaluator = dict(ann_file={str(own or path)!r})',
        )
