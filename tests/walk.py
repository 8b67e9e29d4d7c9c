"""Does what docs/your-data.md says, word for word, on generated images with YOLO labels.

    python tests/walk.py WORK_DIR [--images 80]

The page's commands run as they stand there, in WORK_DIR/my-data, with the environment's programs first.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'your-data.md'
LIMIT = 900  # seconds of processor time


def main() -> None:
    """Read the arguments, walk."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('work_dir', type=Path, help='where everything is written')
    parser.add_argument('--images', type=int, default=80, help='how many images there are')
    args = parser.parse_args()
    figures = walk(args.work_dir.resolve(), args.images)
    print(json.dumps(figures, indent=2))
    sys.exit(figures['cpu_seconds'] > LIMIT)


def walk(folder: Path, n_images: int) -> dict[str, float]:
    """Make the folder that the page starts from, and run its commands.

    Args:
        folder: Where to.
        n_images: How many images to draw.

    Returns:
        ``cpu_seconds`` and ``seconds`` of all commands; AP at one scale and at all, ``ap`` and ``tta_ap``; by command
        its seconds.

    Raises:
        RuntimeError: If a command fails.
    """
    data = folder / 'my-data'
    yolo_folder(folder / 'shapes', data, n_images)
    start, cpu_start, seconds = time.time(), cpu_seconds(), {}
    for command in re.findall(r'```shell title="in my-data"\n(.*?)```', PAGE.read_text(), re.S):
        began, cpu_began = time.time(), cpu_seconds()
        run(['bash', '-e', '-c', command], data)
        seconds[' '.join(command.split()[:2])] = round(cpu_seconds() - cpu_began)
        print(f'{time.time() - began:5.0f} s, CPU {cpu_seconds() - cpu_began:5.0f} s  {command.strip()}', flush=True)
    logs = sorted((data / 'work_dirs' / 'my_sniper').glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    tested = json.loads(logs[-1].read_text())
    validated = [line for line in map(json.loads, scalars(data)) if 'coco/bbox_mAP' in line]
    return dict(
        cpu_seconds=round(cpu_seconds() - cpu_start),
        seconds=round(time.time() - start),
        ap=validated[-1]['coco/bbox_mAP'],
        tta_ap=tested['coco/bbox_mAP'],
        **seconds,
    )


def cpu_seconds() -> float:
    """Processor time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def scalars(data: Path) -> list[str]:
    """Lines that training logged."""
    files = sorted((data / 'work_dirs' / 'my_sniper').glob('*/vis_data/scalars.json'))
    return [line for file in files for line in file.read_text().splitlines()]


def yolo_folder(shapes: Path, data: Path, n_images: int) -> None:
    """Images and YOLO labels, as the page starts from them; nothing else."""
    sys.path.append(str(ROOT / 'benchmarks'))
    import labels

    tool = str(ROOT / 'tools' / 'make_shapes_dataset.py')
    run([sys.executable, tool, str(shapes), '--train', str(n_images), '--val', '0'], shapes.parent)
    data.mkdir(parents=True)
    coco = json.loads((shapes / 'annotations' / 'train.json').read_text())
    labels.write('yolo, one folder', coco, shapes / 'train', data)
    (data / 'images').unlink()  # a link
    shutil.copytree(shapes / 'train', data / 'images')


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder, its output into a log beside it.

    Raises:
        RuntimeError: If it fails; with the end of what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    programs = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    env = {'OMP_NUM_THREADS': '1', **os.environ, 'PATH': programs}
    with (folder / 'walk.log').open('a+') as log:
        if subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log).returncode:
            log.seek(0)
            raise RuntimeError(f'{command[-1]}\n{log.read()[-4000:]}')


if __name__ == '__main__':
    main()
