"""Images with objects and false proposals, as a test loop hands them to the miner."""

import numpy as np
import torch

from mmsniper.mining import NegativeChipMiner

PLANNER = dict(scales=[2.0, (128, 128)], valid_ranges=[(None, 40), (30, None)], chip_size=128, stride=16)
N_IMAGES = 7  # odd: two ranks do not share it evenly


def make_miner(out_file, **changes):
    """A miner of small chips."""
    return NegativeChipMiner(**dict(planner=PLANNER, min_proposals=[6, 4], out_file=str(out_file)) | changes)


def make_sample(n, n_proposals=200, folder='train'):
    """Data sample n, a dict: 300 x 200, some objects, proposals everywhere."""
    rng = np.random.default_rng(n)

    def boxes(count, high):
        corner = rng.uniform(0, 1, (count, 2)) * (290, 190)
        return torch.from_numpy(np.concatenate([corner, corner + rng.uniform(4, high, (count, 2))], 1)).float()

    return dict(
        img_path=f'data/{folder}/{n}.jpg',
        ori_shape=(200, 300),
        gt_instances=dict(bboxes=boxes(n % 3, 60), labels=torch.zeros(n % 3)),
        ignored_instances=dict(bboxes=boxes(1, 60)),
        pred_instances=dict(bboxes=boxes(n_proposals, 50), scores=torch.from_numpy(rng.uniform(0, 1, n_proposals))),
    )
