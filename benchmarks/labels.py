"""Whether boxes survive the commands of docs/labels.md: a COCO file as YOLO, VOC and CSV, converted back.

python benchmarks/labels.py ANNOTATIONS.json IMAGES

The other formats are written here, by their definitions and to the last digit, so that no library can undo its own
mistake. VOC counts pixels from 1 with both ends inside, so it is compared with boxes rounded to whole pixels.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'labels.md'


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='a COCO-format file')
    parser.add_argument('images', type=Path, help='the folder of its images')
    args = parser.parse_args()
    print('| format | objects | found again | largest difference, px |\n|---|---|---|---|')
    for name in ('yolo, one folder', 'voc', 'csv', 'csv, pixels'):
        with tempfile.TemporaryDirectory() as folder:
            truth = write(name, json.loads(args.annotations.read_text()), args.images.resolve(), Path(folder))
            found = convert(name, Path(folder))
        missed, difference = compare(truth, found)
        objects = sum(map(len, truth.values()))
        print(f'| {name} | {objects} | {objects - missed} | {difference:.0e} |')


def commands(name: str) -> str:
    """The commands of docs/labels.md under a title."""
    return re.search(f'```shell title="{re.escape(name)}"\n(.*?)```', PAGE.read_text(), re.S)[1]


def convert(name: str, folder: Path) -> list[dict]:
    """Run the page's commands in a folder; the COCO files that they write, training's first."""
    text = commands(name) + (commands('csv') if name == 'csv, pixels' else '')
    env = {**os.environ, 'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'}
    run = subprocess.run(['bash', '-e', '-c', text], cwd=folder, env=env, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f'{name}: {run.stderr}')
    return [json.loads(path.read_text()) for part in ('train', 'val') if (path := folder / f'{part}.json').exists()]


def write(name: str, coco: dict, images: Path, folder: Path) -> dict[str, list]:
    """Lay out a data set as the page has it.

    Args:
        name: The title of the page's command.
        coco: What a COCO file holds.
        images: Where its images are.
        folder: Where to write.

    Returns:
        By file name the objects, [(class, box (4,) xyxy in px)], that must be found again.
    """
    truth = objects_of(coco, whole=name == 'voc')
    sizes = {image['file_name']: (image['width'], image['height']) for image in coco['images']}
    names = [category['name'] for category in coco['categories']]
    (folder / ('JPEGImages' if name == 'voc' else 'images')).symlink_to(images)
    if name.startswith('csv'):
        write_csv(name, truth, sizes, folder)
        return {file: objects for file, objects in truth.items() if objects}
    if name == 'voc':
        (folder / 'Annotations').mkdir()
        for file, objects in truth.items():
            (folder / 'Annotations' / file).with_suffix('.xml').write_text(voc(file, sizes[file], objects))
        return truth
    (folder / 'labels').mkdir()
    (folder / 'data.yaml').write_text(f'names: {json.dumps(names)}\n')
    for file, objects in truth.items():
        (folder / 'labels' / file).with_suffix('.txt').write_text('\n'.join(yolo(objects, sizes[file], names)))
    return truth


def objects_of(coco: dict, whole: bool) -> dict[str, list]:
    """By file name, [(class, box (4,) xyxy in px)], without crowds and boxes without area, which no format has."""
    names = {category['id']: category['name'] for category in coco['categories']}
    files = {image['id']: image['file_name'] for image in coco['images']}
    objects = {file: [] for file in files.values()}
    for annotation in coco['annotations']:
        x, y, width, height = annotation['bbox']
        box = np.array([x, y, x + width, y + height])
        box = box.round() if whole else box
        if (box[2:] > box[:2]).all() and not annotation.get('iscrowd'):
            objects[files[annotation['image_id']]].append((names[annotation['category_id']], box))
    return objects


def yolo(objects: list, size: tuple[int, int], names: list[str]) -> Iterator[str]:
    """Lines of class number, centre and size, in shares of the image."""
    for name, box in objects:
        centre, extent = (box[:2] + box[2:]) / 2 / size, (box[2:] - box[:2]) / size
        yield ' '.join([str(names.index(name)), *(repr(float(x)) for x in (*centre, *extent))])


def voc(file: str, size: tuple[int, int], objects: list) -> str:
    """An XML file; pixels are counted from 1, and the last one belongs to the box."""
    found = ''
    for name, box in objects:
        ends = zip(('xmin', 'ymin', 'xmax', 'ymax'), box + (1, 1, 0, 0), strict=True)
        bndbox = ''.join(f'<{key}>{value:.0f}</{key}>' for key, value in ends)
        found += f'<object><name>{escape(name)}</name><difficult>0</difficult><bndbox>{bndbox}</bndbox></object>'
    extent = f'<width>{size[0]}</width><height>{size[1]}</height><depth>3</depth>'
    return f'<annotation><filename>{escape(file)}</filename><size>{extent}</size>{found}</annotation>'


def write_csv(name: str, truth: dict[str, list], sizes: dict[str, tuple[int, int]], folder: Path) -> None:
    """OpenImages' columns, or those with pixels."""
    pixels = name == 'csv, pixels'
    head = 'filename,width,height,class,xmin,ymin,xmax,ymax' if pixels else 'ImageID,LabelName,XMin,XMax,YMin,YMax'
    with (folder / ('pixels.csv' if pixels else 'labels.csv')).open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(head.split(','))
        for image, objects in truth.items():
            for label, box in objects:
                shares = (box / np.tile(sizes[image], 2)).tolist()
                row = [image, *sizes[image], label, *box.tolist()]
                writer.writerow(row if pixels else [image, label, shares[0], shares[2], shares[1], shares[3]])


def compare(truth: dict[str, list], found: list[dict]) -> tuple[int, float]:
    """How many objects are missing, too many or of another class, and by how many px the others differ at most."""
    again = {}
    for coco in found:
        again.update(objects_of(coco, whole=False))
    wrong, largest = 0, 0.0
    for file in truth.keys() | again.keys():
        ours, theirs = (sorted((name, *box) for name, box in side.get(file, [])) for side in (truth, again))
        if [name for name, *_ in ours] != [name for name, *_ in theirs]:
            wrong += max(len(ours), len(theirs))
            continue
        for (_, *a), (_, *b) in zip(ours, theirs, strict=True):
            largest = max(largest, float(np.abs(np.subtract(a, b)).max()))
    return wrong, largest


if __name__ == '__main__':
    main()
