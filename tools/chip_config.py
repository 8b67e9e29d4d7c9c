"""The ChipDataset of a training config."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import init_default_scope
from torch.utils.data import Dataset

from mmsniper.chips import ChipPlan
from mmsniper.datasets import ChipDataset
from mmsniper.registry import DATASETS, chip_dataset_of

# Of a config whose negative chips are not mined yet.
WITHOUT_NEGATIVES = '--cfg-options train_dataloader.dataset.negatives=None'


def add_plan_arguments(parser: ArgumentParser) -> None:
    """What :func:`read_config` needs to know, but for ``--recipe``."""
    parser.add_argument('config', help='a training config with a ChipDataset')
    parser.add_argument('--epoch', type=int, default=0, help='epoch of the plan')
    parser.add_argument('--seed', type=int, help="seed of the plan; default: the config's randomness.seed, or 0")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')


def read_config(args: Namespace) -> Config:
    """The config, with the options and negative chips that are given for it.

    Args:
        args: With ``recipe`` (work directory of mmsniper recipe, or None), which receives ``seed``.

    Raises:
        SystemExit: If there is no ChipDataset, or no negative chips where they ought to be.
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    use_negatives(cfg, args.recipe)
    if args.seed is None:
        args.seed = (cfg.get('randomness') or {}).get('seed') or 0
    return cfg


def planned(args: Namespace) -> tuple[Config, Dataset, ChipDataset, ChipPlan]:
    """A config, its training set (which may mix chips), the ChipDataset inside, and the plan of an epoch.

    Args:
        args: As for :func:`read_config`.
    """
    cfg = read_config(args)
    samples = DATASETS.build(cfg.train_dataloader.dataset)
    dataset = samples
    while not isinstance(dataset, ChipDataset):
        dataset = dataset.dataset
    return cfg, samples, dataset, dataset.plan(args.epoch, args.seed)


def chip_dataset_cfg(cfg: Config) -> ConfigDict:
    """What :func:`~mmsniper.registry.chip_dataset_of` finds.

    Raises:
        SystemExit: If there is none.
    """
    dataset = chip_dataset_of(cfg)
    if dataset is None:
        raise SystemExit(f'{cfg.filename}: train_dataloader.dataset holds no mmsniper.ChipDataset')
    return dataset


def use_negatives(cfg: Config, recipe: Path | None) -> None:
    """Let a config's ChipDataset read the negative chips of a recipe, or make sure that it has its own.

    Raises:
        SystemExit: If there are none where they ought to be.
    """
    negatives = chip_dataset_cfg(cfg).get('negatives')
    if recipe:
        if not negatives:
            raise SystemExit(f'{cfg.filename} has no negative chips: give --recipe with the config that the recipe had')
        for name in ('negative_chips.npz', 'mine_config.py', 'rpn/last_checkpoint'):
            if not (recipe / name).is_file():
                raise SystemExit(
                    f'{recipe / name} does not exist: --recipe is the work directory of mmsniper recipe, when it '
                    'has mined negative chips'
                )
        negatives.ann_file = str(recipe / 'negative_chips.npz')
    elif negatives and not Path(str(negatives.get('ann_file'))).is_file():
        raise SystemExit(
            f'{cfg.filename}: its file of negative chips, {negatives.get("ann_file")}, does not exist: run '
            f'mmsniper recipe and give its work directory as --recipe, or leave negative chips out: {WITHOUT_NEGATIVES}'
        )


def build_chip_dataset(cfg: Config, **changes: object) -> ChipDataset:
    """Build the ChipDataset of a config's training loader.

    Args:
        cfg: A training config.
        **changes: Replace arguments of the ChipDataset.

    Raises:
        SystemExit: If there is none.
    """
    return DATASETS.build({**chip_dataset_cfg(cfg), **changes})
