"""Kills the whole recipe at random moments and calls it again: chips, iterations and weights are as if nobody had.

    python tests/kill_recipe.py [--kills 20] [--seed 0] [--work-dir work_dirs/kills]

Per moment one recipe (RPN, negative chips, detector, test) of a small network on four images is killed by SIGKILL, with
all its processes, and called again. Then its negative chips, iterations, and final weights are compared, bit by bit,
with those of an undisturbed one. Every third kill strikes while a checkpoint is being written.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from mmsniper.compat import allow_mmengine_checkpoints
from mmsniper.hooks.checkpoints import is_whole, last_checkpoint

ROOT = Path(__file__).parents[1]
CONFIG = """
_base_ = '{root}/configs/demo/sniper_tiny_neg_shapes.py'
data = dict(data_root='{data}/')
model = dict(backbone=dict(base_channels=8), neck=dict(in_channels=[8, 16, 32, 64]))
planner = dict(scales=[2.0, 1.0, (128, 128)], valid_ranges=[(None, 40), (30, 90), (70, None)], chip_size=128)
rpn_config = '{rpn}'
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(planner=planner, dataset=dict(data, ann_file='annotations/train.json', data_prefix=dict(img='train/')))
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_begin=9)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3, save_last=True))
"""
RPN = """
_base_ = '{root}/configs/demo/sniper_rpn_tiny_shapes.py'
model = dict(backbone=dict(base_channels=8), neck=dict(in_channels=[8, 16, 32, 64]))
train_cfg = dict(max_epochs=1)
test_evaluator = dict(min_proposals=[3, 3, 3])
"""


def main() -> None:
    """Read the arguments, run and kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--kills', type=int, default=20, help='moments')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/kills'), help='where everything is written')
    args = parser.parse_args()
    kills = Kills(args.work_dir.resolve())
    rng = random.Random(args.seed)
    wrong = [n for n in range(args.kills) if (fault := kills.strike(n, rng, n % 3 == 2)) and print(fault) is None]
    print(f'{args.kills - len(wrong)} of {args.kills} killed recipes ended as the undisturbed one')
    sys.exit(bool(wrong))


class Kills:
    """One undisturbed recipe, and others that are killed.

    Args:
        root: Where everything is written.
    """

    def __init__(self, root: Path) -> None:
        allow_mmengine_checkpoints()
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.config = root / 'kill_me.py'
        data, rpn = root / 'data', root / 'kill_me_rpn.py'
        self.config.write_text(CONFIG.format(root=ROOT, data=data, rpn=rpn.name))
        rpn.write_text(RPN.format(root=ROOT))
        if not (data / 'annotations/val.json').exists():
            sizes = ['--train', '4', '--val', '2', '--width', '240', '320', '--height', '200', '240']
            subprocess.run([sys.executable, ROOT / 'tools/make_shapes_dataset.py', data, *sizes], check=True)
        start = time.time()
        self.straight = self.outcome(root / 'straight')
        if self.straight is None:
            start = time.time()
            assert self.start(root / 'straight').wait() == 0, f'see {root / "straight.log"}'
            (root / 'seconds').write_text(str(time.time() - start))
            self.straight = self.outcome(root / 'straight')
        self.seconds = float((root / 'seconds').read_text())

    def start(self, work_dir: Path) -> subprocess.Popen:
        """The recipe, in a process group of its own."""
        command = [sys.executable, ROOT / 'tools/train_sniper.py', self.config, '--work-dir', work_dir]
        env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
        log = work_dir.with_suffix('.log').open('a')
        return subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)

    def outcome(self, work_dir: Path) -> dict | None:
        """What a finished recipe has made; None if it has not finished."""
        stages = work_dir / 'stages.json'
        if not stages.exists() or not json.loads(stages.read_text()).get('test', {}).get('done'):
            return None
        found = {'negatives': (work_dir / 'negative_chips.npz').read_bytes()}
        for name, folder in ('rpn', work_dir / 'rpn'), ('detector', work_dir):
            checkpoint = torch.load(last_checkpoint(folder), map_location='cpu', weights_only=True)
            found[f'iterations of the {name}'] = checkpoint['meta']['iter']
            for key, value in checkpoint['state_dict'].items():
                found[f'{name}.{key}'] = value.numpy().tobytes()
        return found

    def strike(self, n: int, rng: random.Random, while_writing: bool) -> str | None:
        """Kill recipe n at a random moment and finish it; what is wrong with it then."""
        work_dir = self.root / f'killed{n}'
        process, start = self.start(work_dir), time.time()
        moment = rng.uniform(0.1, 0.95) * self.seconds
        if while_writing:
            folder = work_dir / 'rpn' if rng.random() < 0.3 else work_dir
            found = self.wait_for_half_a_checkpoint(folder, process, rng.randint(1, 3))
        else:
            found = ''
            time.sleep(moment)
        killed_after = time.time() - start
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        logged = work_dir.with_suffix('.log').read_text().count('=== ')
        print(f'killed recipe {n} after {killed_after:.1f} s, in stage {logged} of 4{found}', flush=True)
        for _ in range(2):
            if self.start(work_dir).wait() == 0:
                break
        else:
            return f'recipe {n} does not go on; see {work_dir}.log'
        outcome = self.outcome(work_dir)
        differing = [name for name in self.straight if outcome.get(name) != self.straight[name]]
        return f'recipe {n} ended with other {", ".join(differing[:5])}' if differing else None

    def wait_for_half_a_checkpoint(self, folder: Path, process: subprocess.Popen, nth: int) -> str:
        """Until the nth checkpoint of a folder is there and not whole; in words, which one."""
        seen: list[Path] = []
        while process.poll() is None:
            for path in folder.glob('iter_*.pth'):
                if path not in seen:
                    seen.append(path)
                    if len(seen) >= nth and not is_whole(path):
                        return f', while {path.name} was being written'
            time.sleep(0.0005)
        return ', when it was done'


if __name__ == '__main__':
    main()
