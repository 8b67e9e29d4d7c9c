"""Give a checkpoint's batch norm the statistics of the size that it is tested at.

    python tools/calibrate_bn.py CONFIG CHECKPOINT [--out FILE] [--chips 512] [--zoom 1.5 | --zoom 2000 1400 | --train]
        [--size N] [--batch-size N] [--cfg-options ...]

Statistics are averaged exactly over chips of the training images at the zoom of the test pipeline's Resize, or at
--zoom; with --train over what the config trains on: chips at all scales, for a test at several, or whole images.
Weights stay what they are. The file has weights alone, for tests: trainings are resumed from the checkpoint itself. A
model without batch norm, or whose layers are all frozen, is refused.
"""

import argparse
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config, DictAction
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, save_checkpoint, weights_to_cpu
from torch.utils.data import DataLoader

from mmsniper.apis.weights import check_weights
from mmsniper.calibration import calibrate_on_chips, chips_of_images, report, scale_of_test
from mmsniper.checks.normalization import FEW_SAMPLES
from mmsniper.datasets.seeding import seeded
from mmsniper.models.batch_norm import calibrate, trained_batch_norms
from mmsniper.registry import chip_dataset_of


def main() -> None:
    """Read the arguments, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='its weights; averaged ones (EMA), where there are any')
    parser.add_argument('--out', type=Path, help='file to write; default beside the checkpoint, *_calibrated.pth')
    parser.add_argument('--chips', type=int, default=512, help='chips, or images, to take statistics of')
    parser.add_argument('--zoom', type=float, nargs='+', help='of the test: a factor, or long and short edge')
    parser.add_argument('--train', action='store_true', help='over what is trained on: chips at all scales, or images')
    parser.add_argument('--size', type=int, help="side of a chip in pixels; default the planner's or 512, or less")
    parser.add_argument('--batch-size', type=int, help="samples per batch; default the training's, of images >= 8")
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='where it is computed')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()
    if args.zoom and len(args.zoom) > 2:
        parser.error(f'--zoom is a factor, or long and short edge in pixels; got {args.zoom}')
    for name in ('chips', 'size', 'batch_size'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} is > 0; got {getattr(args, name)}')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    out = args.out or Path(args.checkpoint).with_name(f'{Path(args.checkpoint).stem}_calibrated.pth')
    try:
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        checkpoint = load_checkpoint(model, args.checkpoint, map_location='cpu')
        check_weights(model, checkpoint)
        trained_batch_norms(model)
        calibration = build(cfg, args)
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    # Some heads, as TOOD's, label otherwise in the first epochs; this is as after a training.
    MessageHub.get_current_instance().update_info('epoch', 10**9)
    meta = dict(checkpoint.get('meta') or {}, calibrated=calibration(model.to(args.device)))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(dict(state_dict=weights_to_cpu(model.state_dict()), meta=meta), str(out))
    print(f'Wrote {out}')


def build(cfg: Config, args: argparse.Namespace) -> Callable[[torch.nn.Module], dict]:
    """What calibrates a model, and says in plain types what was done.

    Raises:
        ValueError: If there is no zoom to take chips at.
    """
    batch_size = args.batch_size or cfg.train_dataloader.batch_size
    if args.train and (args.zoom or args.size):
        raise ValueError('--zoom and --size are of chips at one scale, and --train is what the config trains on')
    on_chips = chip_dataset_of(cfg) is not None
    if args.train and not on_chips:
        cfg.train_dataloader.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
        cfg.train_dataloader.pop('prefetch_factor', None)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        return partial(of_images, loader=loader, n_batches=max(args.chips // batch_size, 1))
    scale = None if args.train else tuple(args.zoom) if args.zoom and len(args.zoom) == 2 else (args.zoom or [None])[0]
    if scale is None and not args.train and (scale := scale_of_test(cfg)) is None:
        raise ValueError('the test pipeline has no Resize: say --zoom 1.5, or --train for the scales of training')
    if on_chips:
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    else:  # a batch of two would be normalized by noise
        dataset, batch_size = chips_of_images(cfg), args.batch_size or max(batch_size, FEW_SAMPLES)
    settings = dict(n_chips=args.chips, batch_size=batch_size, chip_size=args.size)
    return partial(calibrate_on_chips, dataset=dataset, scale=scale, **settings)


def of_images(model: torch.nn.Module, loader: DataLoader, n_batches: int) -> dict:
    """Calibrate a model on training batches of whole images."""
    with seeded(0):  # how images are augmented, and which anchors and proposals are sampled
        done = calibrate(model, islice(loader, n_batches))
    report(done)
    return dict(images=done.n_samples)


if __name__ == '__main__':
    main()
