"""Detect in an image or a folder of images, with the test pyramid: pictures, and all detections in COCO's format.

    python tools/infer.py CONFIG CHECKPOINT IMAGE|FOLDER --out DIR [--no-tta] [--score-thr 0.3] [--draw-focus]
        [--device cuda:0] [--cfg-options ...]
    torchrun --nproc_per_node=2 tools/infer.py CONFIG CHECKPOINT FOLDER --out DIR --launcher pytorch

Writes DIR/NAME.png per image, reduced to 2000 px if it is larger, with boxes and masks above --score-thr, and
DIR/detections.json, which pycocotools.COCO loads: images, categories (ids from 1), and every detection with its score
as an annotation, whatever --score-thr says. --draw-focus shows what AutoFocus saw at the coarsest scale, bright, and
the chips that finer scales looked at, a colour per scale. An image that cannot be read is named and the others are
done; the exit code is 1 then. Stopped by Ctrl-C, it leaves an earlier detections.json as it was, and what it has found
in DIR/detections_partial.json.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import cv2
from coco_output import Parts
from mmengine.config import Config, DictAction
from tqdm import tqdm

from mmsniper.apis import MultiScaleInferencer, image_files
from mmsniper.apis.launch import join, leave
from mmsniper.visualization.focus import draw_focus


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
    parser.add_argument('--draw-focus', action='store_true', help='with tta_cfg.focus: draw where it looks')
    parser.add_argument('--device', help='such as cpu or cuda:0; default: a GPU if there is one')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)  # some launchers say it
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of the config')
    args = parser.parse_args()

    try:
        paths, others = image_files(args.images) if args.images.is_dir() else ([args.images], 0)
    except ValueError as error:
        parser.error(str(error))
    if args.out.resolve() == paths[0].resolve().parent:
        parser.error(f'--out {args.out} is the folder of the images, and pictures could replace them; name another one')
    try:
        rank, world_size = join(args.launcher)
    except RuntimeError as error:
        raise SystemExit(f'error: {error}') from error
    args.out.mkdir(parents=True, exist_ok=True)
    parts = Parts(args.out, rank, world_size)
    # From here on each process is on its own: mmengine draws in the first of a group only.
    leave(args.launcher)
    parts.check()
    if others and rank == 0:
        print(f'{others} files in {args.images} are no images by their names; left out')

    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    try:
        inferencer = MultiScaleInferencer(cfg, args.checkpoint, tta=args.tta, device=args.device, show_progress=False)
    except (ValueError, TypeError) as error:
        raise SystemExit(f'error: {error}') from error
    inferencer.report_thr = args.score_thr
    if args.draw_focus:
        if getattr(inferencer.model, 'given_focus', None) is None:
            parser.error('--draw-focus: this test has no tta_model.tta_cfg.focus, so there is nothing to draw')
        inferencer.model.keep_focus = True
    classes = inferencer.model.dataset_meta['classes']
    mine = list(enumerate(zip(paths, picture_names(paths), strict=True)))[rank::world_size]
    try:
        with parts:
            progress = tqdm(mine, desc='detecting', unit='image', disable=rank > 0)
            for number, (path, name) in progress:
                try:
                    if text := detect(inferencer, path, args.out / name, number, parts, progress):
                        progress.write(f'warning: {path}: {text}', file=sys.stderr)
                except (OSError, ValueError, RuntimeError, MemoryError) as error:
                    text = str(error) or type(error).__name__
                    progress.write(f'error: {text if str(path) in text else f"{path}: {text}"}', file=sys.stderr)
        if rank:
            return
        parts.wait()
    except KeyboardInterrupt:
        if rank == 0:
            partial = args.out / 'detections_partial.json'
            n_images, _ = parts.merge(partial, classes)
            print(f'\nstopped: {partial} has {n_images} of {len(paths)} images', file=sys.stderr)
        raise SystemExit(130) from None
    n_images, n_annotations = parts.merge(args.out / 'detections.json', classes)
    (args.out / 'detections_partial.json').unlink(missing_ok=True)
    print(f'{n_images} images, {n_annotations} detections: {args.out / "detections.json"}')
    if n_images < len(paths):
        raise SystemExit(
            f'error: {len(paths) - n_images} of {len(paths)} images could not be done; they are named above'
        )


def detect(
    inferencer: MultiScaleInferencer, path: Path, picture: Path, number: int, parts: Parts, progress: tqdm
) -> str:
    """Detect in one image, write its picture and add what was found.

    Returns:
        What is to be said of it, '' if nothing.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If the image is none.
    """
    with tqdm(desc=f'  {path.name}', unit='view', leave=False, disable=progress.disable, delay=2) as views:

        def on_progress(done: int, total: int) -> None:
            views.total = total
            views.update(done - views.n)

        inferencer.on_progress = on_progress
        result = inferencer(str(path), return_vis=True, return_datasamples=True, pred_score_thr=inferencer.report_thr)
    sample = result['predictions'][0]
    drawn = result['visualization'][0]
    if getattr(inferencer.model, 'keep_focus', False):
        drawn = draw_focus(drawn, sample, inferencer.model.module.focus_head.stride)
    if not cv2.imwrite(str(picture), drawn[..., ::-1]):
        raise OSError(f'{path}: {picture} cannot be written')
    height, width = sample.ori_shape[:2]
    parts.add(number, path.name, width, height, inferencer.pred2dict(sample))
    return inferencer.what_limits_left_out(sample)


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


if __name__ == '__main__':
    main()
