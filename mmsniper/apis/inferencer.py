"""MultiScaleInferencer: mmdet's DetInferencer with the test pyramid of a config."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import mmengine
import numpy as np
from mmdet.apis import DetInferencer
from mmdet.datasets.transforms import InferencerLoader
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log
from torch import nn

from .. import registry  # noqa: F401  makes torch read mmengine's checkpoints
from ..models.limits import describe, own_limit
from ..models.masks import EncodedMasks
from ..models.multi_scale_tta import MultiScaleChipTTA
from ..models.pyramid import follow_config
from ..registry import type_name
from ..visualization import LargeImageVisualizer
from ..visualization.large_images import picture_of
from .loading import CheckedLoader, Opener, image_files
from .weights import check_weights

DRAWING = ('show', 'wait_time', 'draw_pred', 'pred_score_thr')
InputType = str | Path | np.ndarray


class MultiScaleInferencer(DetInferencer):
    """Detects in image files and arrays of any size; called like mmdet's ``DetInferencer``, it returns the same.

    Pictures of images with a side beyond 2000 px are drawn reduced.

    Examples:
        >>> inferencer = MultiScaleInferencer('config.py', 'checkpoint.pth')
        >>> result = inferencer('image.jpg')
        >>> result['predictions'][0]['bboxes']  # xyxy, image frame; also labels, scores, and RLE masks if there are any

    Attributes:
        report_thr: Scores from which on a detection that a limit leaves out is missed, see
            :meth:`what_limits_left_out`.
        on_progress: Is called with the number of views done and of all, image by image.

    Args:
        model: Path of a config, or the config.
        weights: Path or URL of a checkpoint.
        tta: Wrap the detector in the config's ``tta_model``, fed by its ``tta_pipeline``; a config without gets
            ``MultiScaleChipTTA`` with its defaults. False: the config's test pipeline, one scale.
        **options: ``device``, ``scope``, ``palette``, ``show_progress`` of ``DetInferencer``.

    Raises:
        ValueError: If the checkpoint is not one of the config's detector.
    """

    report_thr = 0.3
    on_progress: Callable[[int, int], None] | None = None

    def __init__(
        self, model: str | Config | None = None, weights: str | None = None, *, tta: bool = True, **options: object
    ) -> None:
        self.tta = tta
        super().__init__(model=model, weights=weights, **options)

    def _init_model(self, cfg: Config, weights: str | None, device: str = 'cpu') -> nn.Module:
        detector = super()._init_model(cfg, weights, device)
        if not self.tta:
            return detector
        if cfg.get('tta_model') is None:
            print_log('The config has no tta_model: MultiScaleChipTTA with its default scales is used', 'current')
        tta_model = cfg.get('tta_model') or dict(type='mmsniper.MultiScaleChipTTA')
        model = MODELS.build({**tta_model, 'module': detector})
        follow_config(model, cfg)
        model.cfg, model.dataset_meta = detector.cfg, detector.dataset_meta
        return model.eval()

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None, cfg: Config | None) -> None:
        if checkpoint is not None:
            check_weights(model, checkpoint)
        super()._load_weights_to_model(model, checkpoint, cfg)

    def _init_pipeline(self, cfg: Config) -> Compose:
        steps = copy.deepcopy(cfg.test_dataloader.dataset.pipeline)
        if self.tta:
            steps = copy.deepcopy(cfg.get('tta_pipeline')) or [steps[0], dict(type='PackDetInputs')]
            steps = [step for step in steps if type_name(step['type']) != 'LoadAnnotations']
        opens = type_name(steps[0]['type']) == 'OpenImage'
        if opens:  # mmdet asks for the other
            opener, steps[0] = steps[0], dict(type='LoadImageFromFile')
        pipeline = super()._init_pipeline(ConfigDict(test_dataloader=dict(dataset=dict(pipeline=steps))))
        pipeline.transforms = [
            CheckedLoader(step) if isinstance(step, InferencerLoader) else step for step in pipeline.transforms
        ]
        if opens:
            pipeline.transforms[0] = Opener(TRANSFORMS.build(opener), pipeline.transforms[0])
        return pipeline

    def _init_collate(self, cfg: Config) -> Callable:
        # mmengine warns about a registry before it sees that there is nothing to look up.
        return super()._init_collate(cfg) if cfg.test_dataloader.get('collate_fn') else pseudo_collate

    def _init_visualizer(self, cfg: Config) -> object:
        settings = copy.deepcopy(cfg.get('visualizer') or dict(type='DetLocalVisualizer', name='visualizer'))
        if type_name(settings['type']) == 'DetLocalVisualizer':
            settings.update(type=LargeImageVisualizer, vis_backends=None)
        return super()._init_visualizer(ConfigDict(visualizer=settings))

    def _inputs_to_list(self, inputs: InputType | list[InputType]) -> list[str | np.ndarray]:
        if isinstance(inputs, (str, Path)) and os.path.isdir(inputs):
            inputs = image_files(inputs)[0]
        inputs = super()._inputs_to_list(str(inputs) if isinstance(inputs, Path) else inputs)
        return [str(image) if isinstance(image, Path) else image for image in inputs]

    def forward(self, inputs: dict | tuple, **kwargs: object) -> object:
        """Detect in a batch, see ``DetInferencer``."""
        if isinstance(self.model, MultiScaleChipTTA):
            self.model.on_progress, self.model.report_thr = self.on_progress, self.report_thr
            self.model.said_left_out = True  # whoever wants to know asks here
        return super().forward(inputs, **kwargs)

    def visualize(self, inputs: list, preds: list[DetDataSample], **options: object) -> list[np.ndarray] | None:
        """Draw, see ``DetInferencer``; a file that was not loaded whole is not for its picture, either."""
        drawn = options.get('show') or options.get('return_vis') or options.get('img_out_dir')
        if not drawn or not isinstance(self.pipeline.transforms[0], Opener):
            return super().visualize(inputs, preds, **options)
        results = []
        for image, sample in zip(inputs, preds, strict=True):
            if isinstance(image, str):
                folder, name = options.get('img_out_dir'), Path(image).name
                image, sample = picture_of(
                    image, sample, LargeImageVisualizer.max_side, options.get('pred_score_thr', 0.3)
                )
                self.visualizer.add_datasample(
                    name,
                    image,
                    sample,
                    draw_gt=False,
                    out_file=os.path.join(folder, 'vis', name) if folder and not options.get('no_save_vis') else None,
                    **{key: options[key] for key in DRAWING if key in options},
                )
                results.append(self.visualizer.get_image())
                self.num_visualized_imgs += 1
            else:
                results += super().visualize([image], [sample], **options)
        return results

    def what_limits_left_out(self, data_sample: DetDataSample) -> str:
        """In words, what limits on the number of detections have left out above ``report_thr``; '' if nothing.

        Args:
            data_sample: As the model returns it.
        """
        if isinstance(self.model, MultiScaleChipTTA):
            return describe(data_sample, len(data_sample.pred_instances), self.model.view_limit)
        limit, scores = own_limit(self.model), data_sample.pred_instances.scores
        full = limit is not None and len(scores) >= limit and bool((scores >= self.report_thr).all())
        data_sample.set_metainfo(dict(n_full_views=int(full)))
        return describe(data_sample, len(scores), limit)

    def pred2dict(self, data_sample: DetDataSample, pred_out_dir: str = '') -> dict:
        """What is detected in one image, as JSON takes it.

        Args:
            data_sample: As the model returns it.
            pred_out_dir: A folder: also write it there, to ``preds/NAME.json``.

        Returns:
            ``bboxes`` xyxy in the image frame, ``labels``, ``scores`` and, if there are any, ``masks`` as COCO RLE.
        """
        instances = data_sample.get('pred_instances', {})
        if not isinstance(instances.get('masks'), EncodedMasks):
            return super().pred2dict(data_sample, pred_out_dir)
        # mmdet would decode every mask only to encode it again.
        instances = instances.new()
        masks = instances.pop('masks')
        result = super().pred2dict(DetDataSample(pred_instances=instances))
        result['masks'] = [{**rle, 'counts': rle['counts'].decode()} for rle in masks]
        if pred_out_dir:
            name = Path(data_sample.img_path).stem if data_sample.get('img_path') else str(self.num_predicted_imgs)
            self.num_predicted_imgs += 'img_path' not in data_sample
            mmengine.dump(result, os.path.join(pred_out_dir, 'preds', f'{name}.json'))
        return result
