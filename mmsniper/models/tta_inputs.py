"""What MultiScaleChipTTA is given: whole images, as they are in their files."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ..large_images import LargeImage


def check_input(image: Tensor | LargeImage | Sequence, sample: DetDataSample | Sequence) -> None:
    """See that an image comes as it is.

    Raises:
        ValueError: If it was resized, flipped or taken apart; names it.
    """
    if not isinstance(image, (Tensor, LargeImage)):
        raise ValueError(
            f'{name_of(sample[0])}: tta_pipeline makes views of it, and so does MultiScaleChipTTA: take TestTimeAug '
            'out; only LoadImageFromFile (or OpenImage), LoadAnnotations and PackDetInputs belong there'
        )
    if 'ori_shape' not in sample:
        raise ValueError(f"{name_of(sample)}: has no ori_shape; add 'ori_shape' to PackDetInputs' meta_keys")
    if sample.get('flip'):
        raise ValueError(
            f'{name_of(sample)}: tta_pipeline has flipped it; take RandomFlip out: tta_cfg=dict(flip=True) shows '
            'mirrored views, too'
        )
    width, height = image_size(image)
    if (height, width) != tuple(sample.ori_shape[:2]):
        raise ValueError(
            f'{name_of(sample)}: tta_pipeline made {width} x {height} pixels of '
            f'{sample.ori_shape[1]} x {sample.ori_shape[0]}; take Resize, Pad and the like out: '
            'MultiScaleChipTTA scales by itself'
        )


def image_size(image: Tensor | LargeImage) -> tuple[int, int]:
    """(width, height)."""
    return image.size if isinstance(image, LargeImage) else (image.shape[-1], image.shape[-2])


def images_of(data: dict) -> list[Tensor | LargeImage]:
    """Per image of a batch its pixels, (3, H, W) uint8, or its file where the pipeline leaves it closed.

    Args:
        data: ``inputs``, or none, and ``data_samples``.

    Raises:
        ValueError: If there is neither; see also :func:`check_input`.
    """
    samples = data['data_samples']
    images = list(data['inputs']) if 'inputs' in data else [opened(sample) for sample in samples]
    for image, sample in zip(images, samples, strict=True):
        check_input(image, sample)
    return images


def opened(sample: DetDataSample) -> LargeImage:
    """The file of an image that comes without pixels."""
    if not sample.get('img_path'):
        raise ValueError(
            'tta_pipeline gives neither pixels nor the file to read them from: begin it with LoadImageFromFile or '
            "mmsniper.OpenImage, and add 'img_path' to PackDetInputs' meta_keys"
        )
    return LargeImage(sample.img_path)


def no_instances(detector: nn.Module) -> str:
    """What to say of a detector that predicts something else."""
    return (
        f'MultiScaleChipTTA merges pred_instances, which {type(detector).__name__} does not predict; use a detector or '
        'an instance segmentor'
    )


def name_of(sample: DetDataSample) -> str:
    """An image's, for messages."""
    return str(sample.get('img_path', 'an image'))
