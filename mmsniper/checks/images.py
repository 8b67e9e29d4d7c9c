"""Files of images: they are there, can be decoded, and have the annotated size."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from torch.utils.data import Dataset

from ..datasets import ChipDataset, OpenImage
from ..datasets.transforms.chip_sampler import check_size
from ..image_files import MissingImageError, check_depth, load_checked, spread
from .findings import ERROR, NOTE, WARNING, Finding
from .planned_run import PlannedRun
from .workers import available_cores

# How many are looked up, and decoded; and pixels decoded in all, which take some seconds.
LOOKED_UP, DECODED, MOST_PIXELS = 2000, 24, 3 * 10**8
SHOWN = 5


def check_images(run: PlannedRun, all_images: bool = False) -> Iterator[Finding]:
    """Images of training and validation.

    Args:
        run: The run.
        all_images: Decode all of them, not some from all over.
    """
    paths = {}
    for name, dataset in (('train_dataloader', run.data), ('val_dataloader', run.val if run.validates else None)):
        if dataset is not None:
            paths[name] = yield from _check_data_set(name, dataset, all_images)
    if len(paths) == 2 and (both := set(paths['train_dataloader']) & set(paths['val_dataloader'])):
        yield Finding(
            NOTE,
            'images',
            f'validation has images of training, such as {min(both)}',
            'So its AP tells how well they are remembered, not how well the detector works on others.',
        )


def _check_data_set(name: str, dataset: Dataset, all_images: bool) -> Iterator[Finding]:
    """Of one data set; returns the paths that were looked up."""
    infos = dataset.dataset if isinstance(dataset, ChipDataset) else dataset
    if not hasattr(infos, 'get_data_info') or not len(infos):
        yield Finding(NOTE, 'images', f'{name}: not checked', 'The data set does not say which files it reads.')
        return []
    looked_up = spread(len(infos), len(infos) if all_images else LOOKED_UP).tolist()
    paths = {idx: infos.get_data_info(idx).get('img_path', '') for idx in looked_up}
    local = {idx: path for idx, path in paths.items() if path and '://' not in path}
    missing = [path for path in local.values() if not Path(path).is_file()]
    level = WARNING if getattr(dataset, 'on_bad_image', 'raise') == 'skip' else ERROR
    if missing:
        yield Finding(
            level,
            'images',
            f'{name}: {len(missing)} of {len(paths)} files are not there: {_some(missing)}',
            'The run would stop at the first of them.' if level == ERROR else 'They are skipped (on_bad_image).',
            "data_prefix=dict(img='...')  # the folder, below data_root, in which file_name is found",
        )
    there = [idx for idx, path in local.items() if path not in set(missing)]
    chosen = there if all_images else [there[n] for n in spread(len(there), DECODED)]
    if not all_images:
        pixels = np.cumsum([_pixels(infos.get_data_info(idx)) for idx in chosen])
        chosen = chosen[: max(1, int((pixels < MOST_PIXELS).sum()))]
    with ThreadPoolExecutor(available_cores()) as pool:
        tried = list(pool.map(lambda idx: _decode(dataset, infos, idx), chosen))
    wrong = [result for result in tried if isinstance(result, Exception)]
    decoded = sum(result is not False for result in tried)
    if wrong:
        yield Finding(
            level,
            'images',
            f'{name}: {len(wrong)} of {decoded} images that were decoded are wrong: ' + _some(map(str, wrong)),
            'The run would stop at the first of them, or learn boxes beside their objects.',
        )
    elif not missing:
        what = f'{name}: {len(local)} files looked up, {decoded} of them decoded'
        if len(local) < len(paths):
            what += f'; {len(paths) - len(local)} are not on this machine'
        unseen = 'The pipeline has no step that loads images, as far as can be seen.' if local else 'Nothing is known.'
        yield Finding(NOTE, 'images', what, 'All are right.' if decoded else unseen)
    return list(paths.values())


def _decode(dataset: Dataset, infos: Dataset, idx: int) -> Exception | bool:
    """What is wrong with an image; True if nothing is, False if the data set does not say how it is loaded."""
    try:
        info = infos.get_data_info(idx)
        if isinstance(dataset, ChipDataset):
            results = dataset.pipeline.load(info)
        else:
            loader = loader_of(infos, idx)
            if loader is None:
                return False
            results = load_checked(loader, dict(info), info['img_path'])
            check_depth(loader, info['img_path'])
        if results and ('img' in results or 'large_image' in results):
            check_size(results)
    except MissingImageError:
        return False  # named by those who look files up
    except (ValueError, ImportError, RuntimeError) as error:
        return error
    return True


def loader_of(dataset: Any, idx: int) -> LoadImageFromFile | OpenImage | None:
    """The step that loads an image, in the pipeline of whatever data set is joined or repeated here; None if hidden."""
    while not hasattr(dataset, 'pipeline'):
        if not hasattr(dataset, '_get_ori_dataset_idx'):
            return None
        found = dataset._get_ori_dataset_idx(idx)
        dataset, idx = (dataset.datasets[found[0]], found[1]) if isinstance(found, tuple) else (dataset.dataset, found)
    steps = getattr(dataset.pipeline, 'transforms', [])
    return next((step for step in steps if isinstance(step, (LoadImageFromFile, OpenImage))), None)


def _pixels(info: dict[str, Any]) -> int:
    return int(info.get('width') or 0) * int(info.get('height') or 0)


def _some(names: Any) -> str:
    names = list(names)
    return '; '.join(names[:SHOWN]) + (f'; and {len(names) - SHOWN} more' if len(names) > SHOWN else '')
