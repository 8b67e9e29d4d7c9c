"""Detect in an image or a folder of images, with the test pyramid: pictures, and all detections in COCO's format.

    python tools/infer.py CONFIG CHECKPOINT IMAGE|FOLDER --out DIR [--no-tta] [--score-thr 0.3] [--device cuda:0]
        [--cfg-options ...]

Writes DIR/NAME.png per image, reduced to 2000 px if it is larger, with boxes and masks above --score-thr, and
DIR/detections.json, which pycocotools.COCO loads: images, categories (ids from 1), and every detection with its score
as an annotation, whatever --score-thr says. An image that cannot be read is named and the others are done; the exit
code is 1 then.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

import cv2
from mmengine.config import Config, DictAction
from pycocotools import mask as coco_mask
from tqdm import tqdm

from mmsniper.apis import MultiScaleInferencer, image_files


def main() -> None:
    """Read the arguments, detect image by image, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='a config; its tta_model is the test pyramid')
    parser.add_argument('checkpoint', help='what was trained with it')
    parser.add_argument('images', type=Path, metavar='IMAGE|FOLDER', help='an image, or a folder with images in it')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='where everything is written')
    parser.add_argument(
        '--tta', action=argparse.BooleanOptionalAction, default=True, help='all scales (default), or the test pipeline'
    )
    parser.add_argument('--score-thr', type=float, default=0.3, help='least score of what is drawn; default 0.3')
    parser.add_argument('--device', help='such as cpu or cuda:0; default: a GPU if there is one')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    try:
        paths, others = image_files(args.images) if args.images.is_dir() else ([args.images], 0)
    except ValueError as error:
        parser.error(str(error))
    if args.out.resolve() == paths[0].resolve().parent:
        parser.error(f'--out {args.out} is the folder of the images, and pictures could replace them; name another one')
    if others:
        print(f'{others} files in {args.images} are no images by their names; left out')

    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    inferencer = MultiScaleInferencer(cfg, args.checkpoint, tta=args.tta, device=args.device, show_progress=False)
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with CocoFile(args.out / 'detections.json', inferencer.model.dataset_meta['classes']) as detections:
        progress = tqdm(list(zip(paths, picture_names(paths), strict=True)), desc='detecting', unit='image')
        for path, name in progress:
            try:
                detect(inferencer, path, args.out / name, args.score_thr, detections)
            except (OSError, ValueError, RuntimeError, MemoryError) as error:
                failed += 1
                text = str(error) or type(error).__name__
                progress.write(f'error: {text if str(path) in text else f"{path}: {text}"}', file=sys.stderr)
    print(f'{len(paths) - failed} images, {detections.n_annotations} detections: {args.out / "detections.json"}')
    if failed:
        raise SystemExit(f'error: {failed} of {len(paths)} images could not be done; they are named above')


def detect(
    inferencer: MultiScaleInferencer, path: Path, picture: Path, score_thr: float, detections: 'CocoFile'
) -> None:
    """Detect in one image, write its picture and add what was found.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the image is none.
    """
    result = inferencer(str(path), return_vis=True, return_datasamples=True, pred_score_thr=score_thr)
    sample = result['predictions'][0]
    if not cv2.imwrite(str(picture), result['visualization'][0][..., ::-1]):
        raise OSError(f'{path}: {picture} cannot be written')
    height, width = sample.ori_shape[:2]
    detections.add(path.name, width, height, inferencer.pred2dict(sample))


def picture_names(paths: list[Path]) -> list[str]:
    """File names for the pictures: a.jpg gives a.png, but a.jpg.png if another image would, too."""
    stems = Counter(path.stem.lower() for path in paths)
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name = path.stem if stems[path.stem.lower()] == 1 else path.name
        while name.lower() in taken:
            name += '_'
        taken.add(name.lower())
        names.append(f'{name}.png')
    return names


class CocoFile:
    """Writes detections in COCO's format while they come in; a context manager that leaves a complete file.

    Args:
        path: The file.
        classes: Names of the labels; label 0 becomes category 1.
    """

    def __init__(self, path: Path, classes: list[str]) -> None:
        self.path = path
        self.images: list[dict] = []
        self.n_annotations = 0
        self.categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]

    def __enter__(self) -> 'CocoFile':
        self.part = self.path.with_suffix('.json.part')
        self.file = self.part.open('w')
        self.file.write('{"annotations": [')
        return self

    def add(self, file_name: str, width: int, height: int, found: dict) -> None:
        """Add an image.

        Args:
            file_name: Its name.
            width: Its width.
            height: Its height.
            found: ``bboxes`` xyxy, ``labels``, ``scores`` and, if there are any, ``masks``, as ``pred2dict`` has them.
        """
        self.images.append(dict(id=len(self.images) + 1, file_name=file_name, width=width, height=height))
        for n, (x1, y1, x2, y2) in enumerate(found['bboxes']):
            annotation = dict(
                id=self.n_annotations + 1,
                image_id=len(self.images),
                category_id=found['labels'][n] + 1,
                bbox=[round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                area=round((x2 - x1) * (y2 - y1), 3),
                score=found['scores'][n],
                iscrowd=0,
            )
            if 'masks' in found:
                annotation.update(segmentation=found['masks'][n], area=int(coco_mask.area(found['masks'][n])))
            self.file.write(',\n' if self.n_annotations else '\n')
            self.file.write(json.dumps(annotation))
            self.n_annotations += 1

    def __exit__(self, *_: object) -> None:
        rest = json.dumps(dict(images=self.images, categories=self.categories))
        self.file.write(f'\n], {rest[1:]}\n')
        self.file.close()
        os.replace(self.part, self.path)


if __name__ == '__main__':
    main()
