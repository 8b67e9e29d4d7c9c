"""Proposals of training images: what mmdet's DumpProposals has written, or what a recipe's RPN says now."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.fileio import load
from mmengine.runner import load_checkpoint

from mmsniper.chips import image_key
from mmsniper.models.pyramid import follow_config
from mmsniper.registry import MODELS


class DumpedProposals:
    """What DumpProposals has written: '<parent folder>/<file name>' -> proposals of that image, image frame.

    An entry is InstanceData or a dict with bboxes (P, 4) and scores (P,), or an array (P, 4) or, with scores, (P, 5).

    Args:
        path: The pickle.
        max_proposals: Best proposals of an image that count; None = all.

    Attributes:
        missing: Keys of the images that were asked for in vain.

    Raises:
        SystemExit: If the file holds anything else than a dict.
    """

    def __init__(self, path: Path, max_proposals: int | None = None) -> None:
        self.path, self.max_proposals = path, max_proposals
        self.missing: list[str] = []
        self.entries = load(path)
        if not isinstance(self.entries, dict):
            raise SystemExit(f'error: {path} holds a {type(self.entries).__name__}, not a dict of proposals by image')

    def __call__(self, info: dict) -> np.ndarray | None:
        """(P, 4) boxes of an image by its data info, None if it is not in the file.

        Raises:
            ValueError: If `max_proposals` is given and the boxes have no scores.
        """
        key = image_key(info['img_path'])
        if key in self.entries:
            return best_boxes(self.entries[key], self.max_proposals)
        self.missing.append(key)
        return None

    def check_found(self, n_images: int) -> None:
        """Stop if none of the images that were asked for is here.

        Raises:
            SystemExit: Names one of each side.
        """
        if self.missing and len(self.missing) == n_images:
            raise SystemExit(
                f'error: none of the {n_images} images is in {self.path}, the first one as {self.missing[0]!r}; '
                f'it has {", ".join(map(repr, list(self.entries)[:3]))} ...: run DumpProposals on the training images'
            )


def recipe_rpn(recipe: Path) -> Callable[[dict], np.ndarray]:
    """The RPN that tools/train_sniper.py has mined with: data info of an image -> its (P, 4) proposals, image frame.

    Args:
        recipe: The work directory of mmsniper recipe.
    """
    cfg = Config.fromfile(recipe / 'mine_config.py')
    model = MODELS.build(cfg.model)
    follow_config(model, cfg)
    # The name alone: the folder may have moved, or its path be relative to where the recipe was started.
    checkpoint = Path((recipe / 'rpn/last_checkpoint').read_text().strip()).name
    load_checkpoint(model, str(recipe / 'rpn' / checkpoint), map_location='cpu')
    model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()
    pipeline = Compose(cfg.tta_pipeline)
    max_proposals = miner_setting(cfg, 'max_proposals')

    def propose(info: dict) -> np.ndarray:
        (sample,) = model.test_step(pseudo_collate([pipeline(info)]))
        found = sample.pred_instances
        return best_boxes(dict(bboxes=get_box_tensor(found.bboxes).cpu(), scores=found.scores.cpu()), max_proposals)

    return propose


def miner_setting(cfg: Config, name: str) -> int | list[int] | None:
    """A setting of the NegativeChipMiner among a config's evaluators, None if there is none."""
    for key in ('test_evaluator', 'val_evaluator'):
        evaluators = cfg.get(key) or []
        for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            if str(evaluator.get('type')).endswith('NegativeChipMiner') and evaluator.get(name) is not None:
                return evaluator[name]
    return None


def best_boxes(entry: object, max_proposals: int | None) -> np.ndarray:
    """(P, 4) boxes of one image, the best `max_proposals` if it is given.

    Raises:
        ValueError: If the boxes have no scores to choose by.
    """
    if isinstance(entry, (np.ndarray, list)):
        table = np.asarray(entry, np.float64)
        table = table if table.size else np.zeros((0, 5))
        bboxes, scores = (table[:, :4].copy(), table[:, 4]) if table.shape[-1] == 5 else (table, None)
    else:
        bboxes, scores = np.asarray(entry['bboxes']), entry.get('scores')
    if max_proposals is None:
        return bboxes
    if scores is None:
        raise ValueError('its proposals have no scores, so the best cannot be chosen; leave out max_proposals')
    return bboxes[np.argsort(-np.asarray(scores), kind='stable')[:max_proposals]]
