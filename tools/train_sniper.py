"""The whole SNIPER recipe: train a short RPN, mine negative chips, train the detector with them, test it.

    python tools/train_sniper.py CONFIG [--work-dir D] [--launcher pytorch --gpus 8] [--amp] [--cfg-options ...]

CONFIG is a detector's with `rpn_config` (a file beside it) and `negatives`; the RPN learns from the same data and
chips, with what `rpn_options` says in place of its own settings. What a stage has finished is not done again; one that
was stopped goes on, unless its settings have changed.
Any other way to start processes: --prefix 'srun -p gpu -n 8' --launcher slurm.
"""

import argparse
import copy
import hashlib
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from chip_config import chip_dataset_cfg
from mmengine.config import Config, ConfigDict, DictAction

from mmsniper.checks import ERROR, NOTE, check_config
from mmsniper.checks.switch import switch_off
from mmsniper.chips.files import replacing
from mmsniper.chips.planner import check_min_proposals
from mmsniper.configs import config_beside, find_config
from mmsniper.hooks.checkpoints import last_checkpoint
from mmsniper.registry import type_name

TOOLS = Path(__file__).resolve().parent


def main() -> None:
    """Read the arguments, write a config per stage, run the stages that are not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help="a detector's training config with negative chips")
    parser.add_argument('--work-dir', type=Path, help='where everything is written; default work_dirs/<config name>')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--gpus', type=int, default=1, help='processes on this machine, with --launcher pytorch')
    parser.add_argument('--prefix', default='', help="what starts a stage's processes, such as 'srun -p gpu -n 8'")
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='fit the learning rate to the batch size')
    parser.add_argument('--no-check', action='store_true', help='do not check config and data first')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    try:
        cfg = Config.fromfile(find_config(args.config))
    except FileNotFoundError as error:
        raise SystemExit(f'error: {error}') from error
    cfg.merge_from_dict(args.cfg_options or {})
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem
    work_dir.mkdir(parents=True, exist_ok=True)
    negatives = work_dir / 'negative_chips.npz'
    rpn, mine, detector = stage_configs(cfg, negatives)
    recipe = Recipe(work_dir, args)
    extra = ['--amp'] * args.amp + ['--auto-scale-lr'] * args.auto_scale_lr + ['--no-check'] * args.no_check
    if args.no_check:
        switch_off()  # in tests, too
    elif not recipe.stages.get('rpn', {}).get('done'):
        check_detector(detector, work_dir, args)

    rpn_dir = work_dir / 'rpn'
    recipe.train('1/4 train the RPN', 'rpn', rpn, rpn_dir, extra)
    recipe.test('2/4 mine negative chips', 'mine', mine, rpn_dir, negatives)
    recipe.train('3/4 train the detector', 'detector', detector, work_dir, extra)
    recipe.test('4/4 test', 'test', detector, work_dir, work_dir / 'test')


def stage_configs(cfg: Config, negatives: Path) -> tuple[Config, Config, Config]:
    """Configs of the RPN's training, of mining, and of the detector's training and test.

    Raises:
        SystemExit: If the config is not one of a detector with negative chips.
    """
    chips = chip_dataset_cfg(cfg)
    if not cfg.get('rpn_config') or not chips.get('negatives'):
        raise SystemExit(
            f'{cfg.filename}: the recipe needs rpn_config (a file beside the config, or one of ours) and, in the '
            'ChipDataset, negatives=dict(per_image=2); or train without negative chips: mmsniper train'
        )
    detector = copy.deepcopy(cfg)
    chip_dataset_cfg(detector).negatives.ann_file = str(negatives)

    rpn = Config.fromfile(config_beside(cfg.rpn_config, cfg.filename))
    rpn.merge_from_dict(cfg.get('rpn_options') or {})
    rpn.train_dataloader = copy.deepcopy(cfg.train_dataloader)
    chip_dataset_cfg(rpn).pop('negatives')
    batches = rpn.train_dataloader.get('batch_sampler') or {}
    if type_name(batches.get('type')) == 'MixedSizeBatchSampler':
        # A schedule of sizes is of the detector's epochs, and negative chips are mined at the planner's zooms.
        one_size = dict(type='mmsniper.ChipBatchSampler', lanes=batches.get('lanes', 8))
        rpn.train_dataloader.batch_sampler = one_size
        print("The RPN trains on chips of one size; mixed sizes are the detector's", flush=True)
    rpn.update(val_cfg=None, val_dataloader=None, val_evaluator=None)  # nothing to validate: it is weak on purpose
    for key in ('randomness', 'env_cfg', 'default_hooks'):
        if key in cfg:
            rpn[key] = copy.deepcopy(cfg[key])

    mine = copy.deepcopy(rpn)
    mine.tta_model.tta_cfg.scales = chips.planner.scales
    leaves = leaf_datasets(copy.deepcopy(chips.dataset))
    if any(type_name(step.type) == 'OpenImage' for step in cfg.get('tta_pipeline') or []):
        mine.tta_pipeline = copy.deepcopy(cfg.tta_pipeline)  # images too large to be loaded are that for mining, too
    if chips.get('on_bad_image') == 'skip':
        loaders = [step for step in mine.tta_pipeline if type_name(step.type) == 'LoadImageFromFile']
        if not loaders:
            raise SystemExit(
                f"{cfg.rpn_config}: on_bad_image='skip' needs a LoadImageFromFile in tta_pipeline: mining skips, too"
            )
        loaders[0].type = 'mmsniper.LoadImageOrBlank'
    for leaf in leaves:
        leaf.update(test_mode=True, pipeline=mine.tta_pipeline)
        if type_name(leaf.type) in ('CocoDataset', 'CheckedCocoDataset'):  # as it is trained on
            leaf.update(type='mmsniper.CheckedCocoDataset', evaluated=False)
    joined = dict(type='ConcatDataset', datasets=leaves, ignore_keys=ignored_keys(chips.dataset))
    mine.test_dataloader.dataset = leaves[0] if len(leaves) == 1 else joined
    mine.test_evaluator.update(planner=chips.planner, out_file=str(negatives))
    mine.test_evaluator.min_proposals = fitted_min_proposals(mine.test_evaluator, len(chips.planner.scales), cfg)
    mine.model = dict(**mine.tta_model, module=mine.model)
    return rpn, mine, detector


def fitted_min_proposals(miner: ConfigDict, n_scales: int, cfg: Config) -> int | list[int]:
    """An RPN config's ``min_proposals``; made for other scales, its first is for the finest, its last for the others.

    Raises:
        SystemExit: If they are no numbers.
    """
    counts = miner.min_proposals
    if isinstance(counts, (list, tuple)) and counts and len(counts) != n_scales:
        counts = [counts[0], *[counts[-1]] * (n_scales - 1)]
        said = f'{n_scales} scales, so negative chips have at least {counts} proposals, not {list(miner.min_proposals)}'
        print(f'{cfg.rpn_config}: {said}; other numbers: test_evaluator=dict(min_proposals=[...]) there', flush=True)
    try:
        check_min_proposals(counts, n_scales)
    except ValueError as error:  # better now than when the RPN has been trained
        raise SystemExit(f'{cfg.rpn_config}: test_evaluator: {error}') from error
    return counts


def check_detector(cfg: Config, work_dir: Path, args: argparse.Namespace) -> None:
    """Look at the detector's config before hours are spent on its negative chips.

    Raises:
        SystemExit: If it has errors.
    """
    cfg = copy.deepcopy(cfg)
    if args.auto_scale_lr and 'auto_scale_lr' in cfg:
        cfg.auto_scale_lr.enable = True
    cfg.work_dir = str(work_dir)
    chip_dataset_cfg(cfg).negatives = None  # not mined yet, or mined by an earlier run
    findings = check_config(cfg, batch=False, world_size=max(1, args.gpus))
    for finding in findings:
        # How many processes a prefix such as srun starts is not known here; the training knows.
        if finding.level != NOTE and not (args.prefix and finding.about == 'learning rate'):
            print(f'{finding}\n', flush=True)
    if any(finding.level == ERROR for finding in findings):
        raise SystemExit(f'{args.config}: errors, see above; --no-check trains all the same')


def leaf_datasets(dataset: ConfigDict) -> list[ConfigDict]:
    """The data sets that read files, each once, without those that repeat or join them."""
    if 'datasets' in dataset:
        return [leaf for inner in dataset.datasets for leaf in leaf_datasets(inner)]
    return leaf_datasets(dataset.dataset) if 'dataset' in dataset else [dataset]


def ignored_keys(dataset: ConfigDict) -> list[str]:
    """The meta information in which data sets that are joined may differ."""
    inner = [*dataset.get('datasets', []), *([dataset.dataset] if 'dataset' in dataset else [])]
    return list(dataset.get('ignore_keys') or []) + [key for part in inner for key in ignored_keys(part)]


class Recipe:
    """Runs stages, and remembers in stages.json which are done and with what settings."""

    def __init__(self, work_dir: Path, args: argparse.Namespace) -> None:
        self.work_dir, self.launcher = work_dir, args.launcher
        self.prefix = shlex.split(args.prefix)
        self.python = [sys.executable]
        if args.launcher == 'pytorch' and not args.prefix:
            self.python += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={args.gpus}']
        self.path = work_dir / 'stages.json'
        self.stages = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.before = ''

    def train(self, title: str, name: str, cfg: Config, out: Path, extra: list[str]) -> None:
        """Train to the last epoch, from where an earlier run of the same settings stopped."""
        checkpoint = out / 'last_checkpoint'
        config, resumable = self._begin(title, name, cfg, checkpoint)
        if config is None:
            return
        if not resumable:
            checkpoint.unlink(missing_ok=True)
        resume = ['--resume'] if resumable and checkpoint.exists() else []
        self._run(name, 'train.py', config, '--work-dir', out, *extra, *resume)

    def test(self, title: str, name: str, cfg: Config, trained: Path, output: Path) -> None:
        """Run the test loop on the last checkpoint of a training."""
        config, _ = self._begin(title, name, cfg, output)
        if config is None:
            return
        try:
            checkpoint = last_checkpoint(trained)
        except ValueError as error:
            raise SystemExit(f'error: {error}') from error
        self._run(name, 'test.py', config, checkpoint, '--work-dir', self.work_dir / name)

    def _begin(self, title: str, name: str, cfg: Config, output: Path) -> tuple[Path | None, bool]:
        """The stage's config written, None if all is done already; and whether an unfinished run has the settings."""
        text = cfg.pretty_text
        # A stage depends on those before it: another RPN is another set of negative chips.
        self.before = hashlib.sha256((self.before + text).encode()).hexdigest()
        known = self.stages.get(name, {})
        same = known.get('settings') == self.before
        print(f'\n=== {title}', flush=True)
        if same and known.get('done') and output.exists():
            print(f'done before, in {known["seconds"]:.0f} s', flush=True)
            return None, True
        config = self.work_dir / f'{name}_config.py'
        config.write_text(text)
        self._note(name, settings=self.before, done=False)
        return config, same

    def _run(self, name: str, script: str, *arguments: object) -> None:
        start = time.perf_counter()
        command = [*self.prefix, *self.python, str(TOOLS / script), *map(str, arguments), '--launcher', self.launcher]
        code = subprocess.run(command).returncode
        if code:
            raise SystemExit(f'{script} failed with exit code {code}; the same command goes on from here')
        seconds = time.perf_counter() - start
        self._note(name, done=True, seconds=round(seconds, 1))
        print(f'took {seconds:.0f} s', flush=True)

    def _note(self, name: str, **facts: object) -> None:
        self.stages.setdefault(name, {}).update(facts)
        with replacing(self.path) as file:
            file.write(json.dumps(self.stages, indent=2) + '\n')


if __name__ == '__main__':
    main()
