"""What a user should know of a suggestion before training, each point with what to do."""

from __future__ import annotations

import numpy as np

from ..checks.normalization import has_weights
from ..chips.scales import Scale, scale_name
from .base import Base
from .fingerprint import Fingerprint
from .suggestion import Suggestion

# A plan that shows fewer of the objects well has reached what the images hold.
FEW_SEEN_WELL = 0.7
# Chips that show less of the images than this leave most background unseen.
LITTLE_SHOWN = 0.5
LARGE_IMAGE = 50  # megapixels
MANY_PIXELS = 50e6  # of a test, per image
FEW_IMAGES = 100
# COCO's AP over all sizes and thresholds takes so many detections per image.
COUNTED = 100


def advice(data: Fingerprint, base: Base, found: Suggestion) -> list[str]:
    """What the user should know before training, each with what to do."""
    score, said = found.score, []
    if not found.helps:
        scale = found.single_scale
        resize = f'scale={tuple(map(int, scale))}' if isinstance(scale, tuple) else f'scale_factor={scale:g}'
        said.append(
            f'SNIPER will not help here: whole images at one scale, {in_words(scale)}, show '
            f'{found.single.comfortable:.0%} of the objects well and score {found.single.total:.3f}, chips '
            f'{score.total:.3f}. Use plain mmdet with '
            f"dict(type='Resize', {resize}, keep_ratio=True), such as "
            'configs/multi_scale/single-scale_faster-rcnn_r50_fpn_coco.py. The config that was written trains, too.'
        )
    if found.over_budget:
        said.append(
            f'No plan within the budget shows enough of the objects well: this one costs {score.pixels:.1f} times the '
            f'pixels of whole images at {in_words(base.single_scale)}, where {found.usual.comfortable:.0%} are seen '
            'well. Its length allows for that: by chips, not by epochs.'
        )
    if score.seen < 0.999:
        said.append(f'{1 - score.seen:.1%} of the objects are learnt in no chip: too thin, or larger than every chip.')
    if score.comfortable < FEW_SEEN_WELL:
        said.append(
            f'Only {score.comfortable:.0%} of the objects reach a size that this network sees well, at a zoom of '
            f'{max(z for z in found.planner.windows_of_images(data.table.sizes[:1])[0][0]):.2g}: enlarging more would '
            'add no detail. Expect a low AP for the smallest, or take images from closer.'
        )
    area = shown_share(found)
    if area < LITTLE_SHOWN and base.rpn is None:
        said.append(
            f'Chips show {area:.0%} of the pixels of the images; the rest is background that is never trained on. If '
            'the detector fires there (mmsniper infer draws it), train with negative chips: suggest again with '
            '--base sniper_faster-rcnn_r50_fpn_neg_coco and another --out.'
        )
    test_pixels = score.test_pixels * found.single_pixels
    if test_pixels > MANY_PIXELS:
        said.append(
            f'A test at all scales takes {test_pixels / 1e6:.0f} million network pixels per image, more where tiles '
            'overlap, and so does each validation: minutes on a CPU, seconds on a GPU. At one scale it would be '
            f'{found.single.pixels * found.single_pixels / 1e6:.0f} million. Fewer of them: a larger '
            'val_interval; fewer images: --val.'
        )
    if (largest := data.table.sizes.prod(1).max() / 1e6) > LARGE_IMAGE:
        said.append(
            f'Images of up to {largest:.0f} megapixels: keep them as tiled TIFF and inherit from '
            '--base configs/sniper/sniper_faster-rcnn_r50_fpn_large-images.py, which reads windows of them.'
        )
    if len(data) < FEW_IMAGES and has_weights(base.cfg) and not base.cfg.get('load_from'):
        said.append(
            f'{len(data)} images are few: start from weights trained on COCO (load_from = ...), not on ImageNet; '
            'mim download mmdet --config NAME --dest . fetches those of mmdet.'
        )
    most = int(np.diff(data.table.start).max())
    if most > COUNTED:
        said.append(
            f"Up to {most} objects are in one image. COCO's AP (bbox_mAP) counts the best {COUNTED} detections of "
            'each, which bounds it there; AP50 and AP by size count 1,000: compare by these.'
        )
    absent = [
        name
        for name, n in zip(data.classes, np.bincount(data.labels, minlength=len(data.classes)), strict=True)
        if n == 0
    ]
    if absent:
        said.append(
            f'No object of {len(absent)} of the {len(data.classes)} classes: {", ".join(absent[:5])}'
            f'{", ..." if len(absent) > 5 else ""}. They stay in the config, so that labels agree with the file.'
        )
    return said


def shown_share(found: Suggestion) -> float:
    """Area of all chips of an epoch, image pixels, of that of all images; overlaps count twice, so at most this."""
    planner, score = found.planner, found.score
    sides = planner.windows_of_images(found.sample.sizes)[1].astype(float)
    inside = np.minimum(sides[..., None], found.sample.sizes[:, None]).prod(2).mean(0)
    return float(np.dot(score.chips_by_scale, inside) / found.sample.sizes.prod(1).mean())


def in_words(scale: Scale) -> str:
    """A scale in words."""
    return scale_name(scale) if isinstance(scale, tuple) else f'zoom {scale_name(scale)}'
