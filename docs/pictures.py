"""Draws the documentation's pictures again, with the tools that the pages describe, on generated images.

    python docs/pictures.py [--walk work_dirs/walk]

--walk is what tests/walk.py has left; without it, the pictures of a trained model stay as they are. The report is
photographed by chromium, if there is one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / 'docs' / 'images'
WIDEST, QUALITY = 1600, 80
# Of the generated images: one with objects of every size.
SHAPES = ('--train', '12', '--val', '1', '--width', '960', '960', '--height', '720', '720', '--seed', '3')
SHOWN = '00000_000000'


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--walk', type=Path, default=ROOT / 'work_dirs' / 'walk', help='what tests/walk.py has left')
    args = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        draw_chips(Path(folder))
        if args.walk.exists():
            draw_walk(args.walk.resolve() / 'my-data', Path(folder))
    sizes = {path.name: path.stat().st_size for path in sorted(IMAGES.iterdir())}
    print(*(f'{size / 1e3:6.0f} kB  {name}' for name, size in sizes.items()), sep='\n')
    print(f'{sum(sizes.values()) / 1e3:6.0f} kB in all')


def draw_chips(folder: Path) -> None:
    """The plan of an image, and its chips."""
    run('make_shapes_dataset.py', folder / 'shapes', *SHAPES)
    options = [f'train_dataloader.dataset.dataset.data_root={folder}/shapes/']
    config = ROOT / 'configs' / 'demo' / 'sniper_tiny_shapes.py'
    drawn = folder / 'chips'
    run('browse_chips.py', config, '--images', '12', '--max-chips', '10', '--out-dir', drawn, '--cfg-options', *options)
    for name, target in (f'{SHOWN}.png', 'plan.jpg'), (f'{SHOWN}_chips.png', 'chips.jpg'):
        save(drawn / name, target)


def draw_walk(walk: Path, folder: Path) -> None:
    """What a walk has found in its data, what it has learnt, and its report."""
    save(walk / 'my_sniper.png', 'sizes.jpg')
    save(max((walk / 'detections').glob('*.png'), key=lambda path: path.stat().st_size), 'detections.jpg')
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    if browser:
        page, picture = walk / 'report.html', folder / 'report.png'
        size = ('--window-size=1100,900', '--hide-scrollbars', '--force-device-scale-factor=1')
        subprocess.run(
            [browser, '--headless', '--no-sandbox', *size, f'--screenshot={picture}', page.as_uri()],
            check=True,
            capture_output=True,
        )
        save(picture, 'report.jpg')


def run(script: str, *arguments: object) -> None:
    """Run a tool."""
    env = {'OMP_NUM_THREADS': '1', **os.environ}
    command = [sys.executable, str(ROOT / 'tools' / script), *map(str, arguments)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def save(source: Path, name: str) -> None:
    """A picture, reduced and compressed for a page."""
    image = cv2.imread(str(source))
    zoom = min(1, WIDEST / image.shape[1])
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(IMAGES / name), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == '__main__':
    main()
