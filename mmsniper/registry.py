"""Registries of the scope ``mmsniper``: a config that says ``type='mmsniper.X'`` needs no ``custom_imports``.

mmengine imports this file by itself and hides its ImportErrors, so it imports as little as it can; the components are
imported when one is first looked up.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmengine import registry as parents
from mmengine.registry import Registry

from .compat import allow_mmengine_checkpoints
from .configs import type_name as type_name
from .inherit import allow_mmsniper_bases

allow_mmengine_checkpoints()
allow_mmsniper_bases()

DATASETS = Registry('dataset', parent=parents.DATASETS, scope='mmsniper', locations=['mmsniper.datasets'])
DATA_SAMPLERS = Registry(
    'data sampler', parent=parents.DATA_SAMPLERS, scope='mmsniper', locations=['mmsniper.datasets']
)
TRANSFORMS = Registry('transform', parent=parents.TRANSFORMS, scope='mmsniper', locations=['mmsniper.datasets'])
TASK_UTILS = Registry('task util', parent=parents.TASK_UTILS, scope='mmsniper', locations=['mmsniper.models'])
MODELS = Registry('model', parent=parents.MODELS, scope='mmsniper', locations=['mmsniper.models'])
LOOPS = Registry('loop', parent=parents.LOOPS, scope='mmsniper', locations=['mmsniper.evaluation'])
METRICS = Registry(
    'metric', parent=parents.METRICS, scope='mmsniper', locations=['mmsniper.mining', 'mmsniper.evaluation']
)
HOOKS = Registry('hook', parent=parents.HOOKS, scope='mmsniper', locations=['mmsniper.hooks'])


def chip_dataset_of(cfg: Mapping) -> dict | None:
    """The ChipDataset in a config's training loader, whatever is wrapped around it; changing it changes the config.

    Args:
        cfg: A config.

    Returns:
        Its settings; None if there is none.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    while isinstance(dataset, dict) and type_name(dataset.get('type')) != 'ChipDataset':
        dataset = dataset.get('dataset')
    return dataset if isinstance(dataset, dict) else None
