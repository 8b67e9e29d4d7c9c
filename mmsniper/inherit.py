"""How configs inherit from this package: ``_base_ = 'mmsniper::...'``, and plain configs of mmdet put on chips."""

from __future__ import annotations

import copy
import warnings

from mmengine.config import Config, ConfigDict

from .configs import config_path, type_name

# Heads that leave out what the assigners in train_cfg leave out.
ASSIGNED_HEADS = (
    *('RetinaHead', 'RetinaSepBNHead', 'ATSSHead', 'GFLHead', 'LDHead', 'PAAHead', 'TOODHead'),
    *('RTMDetHead', 'RTMDetSepBNHead', 'RTMDetInsHead', 'RTMDetInsSepBNHead'),
)
# Heads that label by themselves, or make background of what is left out, and ours that take their place.
OWN_HEADS = {
    f'{name}Head': f'mmsniper.ValidRange{name}Head'
    for name in ('FCOS', 'VFNet', 'YOLOX', 'DETR', 'ConditionalDETR', 'DABDETR', 'DeformableDETR', 'DINO')
}
OWN_DETECTORS = {'DINO': 'mmsniper.ValidRangeDINO'}
# What the pipeline of chips does in its way.
REPLACED = {
    *('LoadImageFromFile', 'LoadAnnotations', 'Resize', 'RandomResize', 'RandomChoiceResize', 'RandomCrop'),
    *('RandomFlip', 'Pad', 'FilterAnnotations', 'PackDetInputs'),
}
# What mixes images, and what does to chips as it is.
MIXES = ('Mosaic', 'CachedMosaic', 'MixUp', 'CachedMixUp')
KEPT = ('YOLOXHSVRandomAug',)
ENDS_MIXING = ('PipelineSwitchHook', 'YOLOXModeSwitchHook')


def allow_mmsniper_bases() -> None:
    """Let configs inherit by ``_base_ = 'mmsniper::sniper/NAME.py'``, from a wheel or a clone.

    mmengine knows a fixed table of packages. An entry there would give our dicts the scope of this package, in which
    mmdet's types are not found; without a scope they are read as if they stood in the file that inherits them.
    """
    others = Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not cfg_path.startswith('mmsniper::'):
            return others(cfg_path, filename)
        return config_path(cfg_path), None

    Config._get_cfg_path = staticmethod(get_cfg_path)


def on_chips(base: ConfigDict, max_epochs: int | None = None) -> None:
    """Put a plain config of mmdet on chips: its loader, labels by valid range, the test pyramid, our hooks.

    For a config that inherits one of mmdet's, or of your own, and is to be trained as SNIPER does::

        _base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
        from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

        on_chips(_base_)
        train_dataloader = dict(batch_size=8, dataset=dict(planner=dict(scales=[2.0, 1.0], valid_ranges=...)))

    What follows changes the result as it would a config of ours. Network, data files and schedule stay the base's; its
    training pipeline, batch size and workers do not: they were made for whole images. Where it mixes images (Mosaic,
    MixUp; not with masks, which would be lost), chips of 512 px are mixed instead, until the same epoch; the planner is
    a data set deeper then: ``dataset=dict(dataset=dict(planner=...))``.

    Args:
        base: ``_base_``, what the config has inherited; changed in place.
        max_epochs: Epochs that the base's schedule is scaled to; one of chips shows more than one of images.

    Raises:
        ValueError: If it has no training data, labels in a way that valid ranges cannot change, or has no epochs to be
            scaled.
    """
    if not base.get('train_dataloader') or not base.get('model'):
        raise ValueError(
            'on_chips(_base_) needs a base with a model and a train_dataloader, such as mmdet::retinanet/...'
        )
    label_by_range(base.model)
    if type_name((base.model.get('bbox_head') or {}).get('type')).startswith('RTMDetIns'):
        base.find_unused_parameters = True  # its masks' kernels have no gradient where nothing is valid
    steps = pipelines(base.train_dataloader.dataset)
    kind = 'instance' if any(step.get('with_mask') for step in steps) else 'detection'
    ours = read(f'datasets/sniper_coco_{kind}.py')
    chips = ours.train_dataloader.dataset
    chips.dataset = base.train_dataloader.dataset
    if chips.dataset.type == 'MultiImageMixDataset':
        chips.dataset = chips.dataset.dataset
    loads = [step for step in steps if step.type == 'LoadImageFromFile']  # how files are read and decoded is the base's
    chips.pipeline[:1] = loads[:1] or chips.pipeline[:1]
    kept = {step.type: for_chips(step, chips.planner.chip_size) for step in steps if may_stay(step, kind)}
    others = {str(step.type) for step in (*steps, *batch_zooms(base.model))} - REPLACED - kept.keys()
    if others:
        warnings.warn(
            f"on_chips: {', '.join(sorted(others))} of the base's training pipeline are left out. What keeps an "
            "image's scale may stand after mmsniper.ChipSampler: train_dataloader = dict(dataset=dict(pipeline=[...]))",
            stacklevel=2,
        )
    # Item by item: ConfigDict.update merges what is below.
    for name, value in ours.train_dataloader.items():
        base.train_dataloader[name] = value
    *cut, flip, pack = chips.pipeline
    if any(step.type == 'mmsniper.MixChips' for step in kept.values()):
        chips.pipeline = [*cut, flip]
        base.train_dataloader.dataset = ConfigDict(
            type='MultiImageMixDataset', dataset=chips, pipeline=[*kept.values(), pack]
        )
    else:
        chips.pipeline = [*cut, *kept.values(), flip, pack]  # colours in place, which OpenCV cannot in a mirrored view
    base.train_pipeline = chips.pipeline
    base.setdefault('randomness', ours.randomness)
    for name in ('val_dataloader', 'test_dataloader'):
        loader = base.get(name)
        if loader and loader.dataset.type == 'CocoDataset':
            loader.dataset.type = ours[name].dataset.type
    for name in ('val_evaluator', 'test_evaluator'):
        if isinstance(base.get(name), dict) and base[name].type == 'CocoMetric':
            base[name].type = ours[name].type
    for name, value in read('tta/sniper_tta.py').items():
        base[name] = value
    base.tta_pipeline[:1] = copy.deepcopy(loads[:1]) or base.tta_pipeline[:1]
    runtime = read('sniper_runtime.py')
    hooks = {name: hook for name, hook in runtime.default_hooks.items() if hook.type.startswith('mmsniper.')}
    base.default_hooks = ConfigDict(base.get('default_hooks') or {}, **hooks)
    epochs = (base.get('train_cfg') or {}).get('max_epochs')
    mixes = base.train_dataloader.dataset.type == 'MultiImageMixDataset'
    own = [hook for hook in base.get('custom_hooks') or [] if mixes or hook.type not in ENDS_MIXING]
    base.custom_hooks = [
        *(until_mixing_ends(hook, epochs, 'bbox_head' in base.model) for hook in own),
        *(runtime.get('custom_hooks') or []),
    ]
    if max_epochs:
        if not epochs:
            raise ValueError('on_chips(max_epochs=...) scales a schedule of epochs, but the base has no max_epochs')
        scale_epochs(base, max_epochs / epochs)


def read(name: str) -> ConfigDict:
    """One of our base files."""
    return Config.fromfile(config_path(f'_base_/{name}'))._cfg_dict


def pipelines(dataset: ConfigDict) -> list[ConfigDict]:
    """Take the transforms out of a data set and those that it wraps: ChipDataset runs its own."""
    inner = [*dataset.get('datasets', []), *([dataset.dataset] if 'dataset' in dataset else [])]
    own = [one for step in dataset.pop('pipeline', None) or [] for one in choices(step)]
    return [*own, *(step for part in inner for step in pipelines(part))]


def choices(step: ConfigDict) -> list[ConfigDict]:
    """A transform, or all among which it chooses."""
    return [one for way in step.transforms for one in way] if step.type == 'RandomChoice' else [step]


def may_stay(step: ConfigDict, kind: str) -> bool:
    """Whether a transform of images has a place among those of chips; masks would be lost by mixing."""
    return step.type in KEPT or (step.type in MIXES and kind == 'detection')


def for_chips(step: ConfigDict, chip_size: int) -> ConfigDict:
    """A transform of images, as chips take it: nothing zooms, and a mosaic's four chips leave the area of one."""
    if step.type in KEPT:
        return step
    name, size = str(step.type).removeprefix('Cached'), (chip_size, chip_size)
    own = dict(ratio_range=(1.0, 1.0)) if name == 'MixUp' else {}
    mix = dict(type=name, img_scale=size, pad_val=step.get('pad_val', 114.0), **own)
    how = dict(crop=size) if name == 'Mosaic' else {}
    return ConfigDict(type='mmsniper.MixChips', transform=mix, prob=step.get('prob', 1.0), **how)


def batch_zooms(model: ConfigDict) -> list[ConfigDict]:
    """Take out what resizes or pads whole batches, after which no valid range fits, or chips are mostly border."""
    preprocessor = model.get('data_preprocessor') or ConfigDict()
    every = preprocessor.get('batch_augments') or []
    zooms = [one for one in every if one.type in ('BatchSyncRandomResize', 'BatchFixedSizePad')]
    if zooms:
        preprocessor.batch_augments = [one for one in every if one not in zooms] or None
    return zooms


def until_mixing_ends(hook: ConfigDict, max_epochs: int | None, one_stage: bool) -> ConfigDict:
    """A hook of the base's; one that ends the mixing of images ends that of chips."""
    if hook.type in ENDS_MIXING and (not max_epochs or not one_stage):
        raise ValueError(
            f'on_chips: {hook.type} ends the mixing of images in an epoch of a one-stage detector, and the base has '
            f'{"two stages" if max_epochs else "no max_epochs"}: leave out the hook, or what mixes'
        )
    if hook.type == 'PipelineSwitchHook':
        # This one switches an epoch earlier than its number says; what it logs of an L1 loss concerns YOLOX alone.
        last = max_epochs - hook.switch_epoch - 1
        hook = ConfigDict(type='YOLOXModeSwitchHook', num_last_epochs=last, priority=48)
    if hook.type == 'YOLOXModeSwitchHook':
        hook = ConfigDict(hook, skip_type_keys=('mmsniper.MixChips',))
    return hook


def scale_epochs(base: ConfigDict, factor: float) -> None:
    """Make a schedule that counts epochs longer or shorter, in place."""
    base.train_cfg.max_epochs = round(base.train_cfg.max_epochs * factor)
    if 'dynamic_intervals' in base.train_cfg:
        intervals = base.train_cfg.dynamic_intervals
        base.train_cfg.dynamic_intervals = [(round(epoch * factor), every) for epoch, every in intervals]
    schedulers = base.get('param_scheduler') or []
    schedulers = schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]
    by_epoch = [one for one in schedulers if one.get('by_epoch', True)]
    for node in (*by_epoch, *base.custom_hooks, base.model.get('train_cfg') or {}):
        for key in ('begin', 'num_last_epochs', 'initial_epoch', 'begin_epoch'):
            if key in node:
                node[key] = round(node[key] * factor)
        for key in ('end', 'T_max', 'step_size'):
            if key in node:
                node[key] = max(round(node[key] * factor), node.get('begin', 0) + 1 if key == 'end' else 1)
        for key in ('milestones', 'periods'):
            if key in node:
                node[key] = [max(round(epoch * factor), 1) for epoch in node[key]]


def label_by_range(model: ConfigDict) -> None:
    """Make a detector label by valid range, in place.

    Raises:
        ValueError: If it labels in a way that is not known to follow valid ranges, or learns from maps that chips have
            not; names what does.
    """
    labels = read('models/sniper_two_stage.py')
    train_cfg = model.get('train_cfg') or ConfigDict()
    head = model.get('bbox_head') or {}
    kind = type_name(head.get('type', model.type))
    if model.get('semantic_head') or (model.get('roi_head') or {}).get('semantic_head'):
        raise ValueError(
            f'on_chips: the semantic_head of {type_name(model.type)} learns from maps of all pixels, and chips have '
            'boxes and masks of objects alone: model = dict(roi_head=dict(semantic_head=None)), or another detector'
        )
    if 'rpn' in train_cfg:
        known(type_name(model.rpn_head.type), ['RPNHead'])
        if not by_range(train_cfg.rpn.assigner):
            known(type_name(train_cfg.rpn.assigner.type), ['MaxIoUAssigner'])
            train_cfg.rpn.assigner.update(labels.rpn_labels.assigner)
        train_cfg.rpn.allowed_border = -1  # chips are cut anywhere, so anchors across their border count
        stages = train_cfg.get('rcnn') or []
        for stage in stages if isinstance(stages, (list, tuple)) else [stages]:
            if not by_range(stage.assigner):
                known(type_name(stage.assigner.type), ['MaxIoUAssigner'])
                stage.assigner.type = labels.roi_labels.assigner.type
            if not by_range(stage.sampler):
                known(type_name(stage.sampler.type), ['RandomSampler'])
                sampler = dict(labels.roi_labels.sampler)
                sampler.pop('_delete_')
                stage.sampler = sampler
    elif kind in OWN_HEADS:
        detector = kind.removesuffix('Head')
        if detector in OWN_DETECTORS and type_name(model.type) not in (detector, type_name(OWN_DETECTORS[detector])):
            raise ValueError(
                f'on_chips: of detectors with a {kind}, {detector} is known to go by valid range, not '
                f'{model.type}: inherit it from {OWN_DETECTORS[detector]}, and say so in the config'
            )
        head.type = OWN_HEADS[kind]
        model.type = OWN_DETECTORS.get(detector, model.type)
    elif not by_range(head):
        known(kind, ASSIGNED_HEADS)
        for name in ('initial_assigner', 'assigner'):  # TOOD has two, one after the other
            if name in train_cfg and not by_range(train_cfg[name]):
                train_cfg[name].update(type='mmsniper.ValidRange', assigner=type_name(train_cfg[name].type))


def by_range(part: dict) -> bool:
    """Whether a head, an assigner or a sampler is one of ours that goes by valid range."""
    return type_name(part.get('type')).startswith('ValidRange')


def known(kind: str, kinds: object) -> None:
    """Refuse what labels in another way than these."""
    if kind not in kinds:
        raise ValueError(
            f'on_chips: {kind} is not known to label by valid range. Known are detectors with an RPN and RoI heads of '
            f'MaxIoUAssigner and RandomSampler, and {", ".join([*ASSIGNED_HEADS, *OWN_HEADS])}; for another, inherit '
            'the data of mmsniper::_base_/datasets/ and set its assigners as mmsniper::_base_/models/ do'
        )
