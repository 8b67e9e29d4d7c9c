"""How configs inherit from this package: ``_base_ = 'mmsniper::...'``, and plain configs of mmdet put on chips."""

from __future__ import annotations

import warnings

from mmengine.config import Config, ConfigDict

from .configs import config_path

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


def on_chips(base: ConfigDict) -> None:
    """Put a plain config of mmdet on chips: its loader, labels by valid range, the test pyramid, our hooks.

    For a config that inherits one of mmdet's, or of your own, and is to be trained as SNIPER does::

        _base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
        from mmsniper.inherit import on_chips  # below _base_: above, mmengine takes the file for another kind

        on_chips(_base_)
        train_dataloader = dict(batch_size=8, dataset=dict(planner=dict(scales=[2.0, 1.0], valid_ranges=...)))

    What follows changes the result as it would a config of ours. Network, data files, schedule and evaluation stay the
    base's; its training pipeline, batch size and workers do not: they were made for whole images.

    Args:
        base: ``_base_``, what the config has inherited; changed in place.

    Raises:
        ValueError: If it has no training data, or labels in a way that valid ranges cannot change.
    """
    if not base.get('train_dataloader') or not base.get('model'):
        raise ValueError(
            'on_chips(_base_) needs a base with a model and a train_dataloader, such as mmdet::retinanet/...'
        )
    label_by_range(base.model)
    steps = pipelines(base.train_dataloader.dataset)
    kind = 'instance' if any(step.get('with_mask') for step in steps) else 'detection'
    ours = read(f'datasets/sniper_coco_{kind}.py')
    chips = ours.train_dataloader.dataset
    chips.dataset = base.train_dataloader.dataset
    loads = [step for step in steps if step.type == 'LoadImageFromFile']  # how files are read and decoded is the base's
    chips.pipeline[:1] = loads[:1] or chips.pipeline[:1]
    if others := sorted({str(step.type) for step in steps} - REPLACED):
        warnings.warn(
            f"on_chips: {', '.join(others)} of the base's training pipeline are left out. What keeps an image's scale "
            'may stand after mmsniper.ChipSampler: train_dataloader = dict(dataset=dict(pipeline=[...]))',
            stacklevel=2,
        )
    # Item by item: ConfigDict.update merges what is below.
    for name, value in ours.train_dataloader.items():
        base.train_dataloader[name] = value
    base.train_pipeline = chips.pipeline
    base.setdefault('randomness', ours.randomness)
    for name in ('val_dataloader', 'test_dataloader'):
        loader = base.get(name)
        if loader and loader.dataset.type == 'CocoDataset':
            loader.dataset.type = ours[name].dataset.type
    for name, value in read('tta/sniper_tta.py').items():
        base[name] = value
    runtime = read('sniper_runtime.py')
    hooks = {name: hook for name, hook in runtime.default_hooks.items() if hook.type.startswith('mmsniper.')}
    base.default_hooks = ConfigDict(base.get('default_hooks') or {}, **hooks)
    base.custom_hooks = [*(base.get('custom_hooks') or []), *(runtime.get('custom_hooks') or [])]


def read(name: str) -> ConfigDict:
    """One of our base files."""
    return Config.fromfile(config_path(f'_base_/{name}'))._cfg_dict


def pipelines(dataset: ConfigDict) -> list[ConfigDict]:
    """Take the transforms out of a data set and those that it wraps: ChipDataset runs its own."""
    inner = [*dataset.get('datasets', []), *([dataset.dataset] if 'dataset' in dataset else [])]
    return [*(dataset.pop('pipeline', None) or []), *(step for part in inner for step in pipelines(part))]


def label_by_range(model: ConfigDict) -> None:
    """Make a detector label by valid range, in place.

    Raises:
        ValueError: If it labels in a way that is not known to follow valid ranges; names what does.
    """
    labels = read('models/sniper_two_stage.py')
    train_cfg = model.get('train_cfg') or ConfigDict()
    head = model.get('bbox_head') or {}
    if 'rpn' in train_cfg:
        known(model.rpn_head.type, ['RPNHead'])
        known(train_cfg.rpn.assigner.type, ['MaxIoUAssigner'])
        train_cfg.rpn.assigner.update(labels.rpn_labels.assigner)
        train_cfg.rpn.allowed_border = -1  # chips are cut anywhere, so anchors across their border count
        stages = train_cfg.get('rcnn') or []
        for stage in stages if isinstance(stages, (list, tuple)) else [stages]:
            known(stage.assigner.type, ['MaxIoUAssigner'])
            known(stage.sampler.type, ['RandomSampler'])
            stage.assigner.type = labels.roi_labels.assigner.type
            sampler = dict(labels.roi_labels.sampler)
            sampler.pop('_delete_')
            stage.sampler = sampler
    elif head.get('type') in OWN_HEADS:
        head.type = OWN_HEADS[head.type]
        model.type = OWN_DETECTORS.get(model.type, model.type)
    else:
        known(head.get('type', model.type), ASSIGNED_HEADS)
        for name in ('initial_assigner', 'assigner'):  # TOOD has two, one after the other
            if name in train_cfg:
                train_cfg[name].update(type='mmsniper.ValidRange', assigner=train_cfg[name].type)


def known(kind: str, kinds: object) -> None:
    """Refuse what labels in another way than these."""
    if kind not in kinds:
        raise ValueError(
            f'on_chips: {kind} is not known to label by valid range. Known are detectors with an RPN and RoI heads of '
            f'MaxIoUAssigner and RandomSampler, and {", ".join([*ASSIGNED_HEADS, *OWN_HEADS])}; for another, inherit '
            'the data of mmsniper::_base_/datasets/ and set its assigners as mmsniper::_base_/models/ do'
        )
