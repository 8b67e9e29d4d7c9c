"""Detectors for tests: an oracle that knows what it sees, and small real ones with random weights."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from shrink import narrow
from torch import nn

from mmsniper.datasets import ChipDataset

BACKBONE = dict(depth=18, base_channels=8, frozen_stages=-1, init_cfg=None)
SMALL = dict(backbone=BACKBONE, neck=dict(in_channels=[8, 16, 32, 64], out_channels=16))
RPN = dict(rpn_head=dict(in_channels=16, feat_channels=16))
BBOX_HEAD = dict(in_channels=16, fc_out_channels=32, num_classes=2)
ROI_HEAD = dict(bbox_roi_extractor=dict(out_channels=16), bbox_head=BBOX_HEAD)
MASKS = dict(
    mask_roi_extractor=dict(out_channels=16),
    mask_head=dict(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=2),
)
DENSE = dict(num_classes=2, in_channels=16, feat_channels=16, stacked_convs=1)
RCNN = dict(rpn=dict(max_per_img=50), rcnn=dict(score_thr=0.0, max_per_img=20))
ONE_STAGE = dict(score_thr=0.0, max_per_img=20)
RTMDET = dict(
    backbone=dict(widen_factor=0.125, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1),
    bbox_head=dict(num_classes=2, in_channels=32, feat_channels=32, stacked_convs=1),
    test_cfg=ONE_STAGE,
)
# Their transformers become narrow(), too.
DETR = dict(
    backbone=BACKBONE, neck=dict(in_channels=[64]), bbox_head=dict(num_classes=2), test_cfg=dict(max_per_img=20)
)
DEFORMABLE = dict(DETR, neck=dict(in_channels=[16, 32, 64]))
DETECTORS = dict(
    faster_rcnn=('_base_/models/faster-rcnn_r50_fpn.py', dict(**SMALL, **RPN, roi_head=ROI_HEAD, test_cfg=RCNN)),
    mask_rcnn=(
        '_base_/models/mask-rcnn_r50_fpn.py',
        dict(**SMALL, **RPN, roi_head={**ROI_HEAD, **MASKS}, test_cfg=RCNN),
    ),
    cascade_mask_rcnn=(
        '_base_/models/cascade-mask-rcnn_r50_fpn.py',
        dict(
            **SMALL,
            **RPN,
            roi_head={**ROI_HEAD, **MASKS, 'bbox_head': {str(stage): BBOX_HEAD for stage in range(3)}},
            test_cfg=RCNN,
        ),
    ),
    retinanet=('_base_/models/retinanet_r50_fpn.py', dict(**SMALL, bbox_head=DENSE, test_cfg=ONE_STAGE)),
    tood=(
        'tood/tood_r50_fpn_1x_coco.py',
        dict(**SMALL, bbox_head={**DENSE, 'feat_channels': 32, 'stacked_convs': 2}, test_cfg=ONE_STAGE),
    ),
    gfl=('gfl/gfl_r50_fpn_1x_coco.py', dict(**SMALL, bbox_head={**DENSE, 'feat_channels': 32}, test_cfg=ONE_STAGE)),
    vfnet=(
        'vfnet/vfnet_r50_fpn_1x_coco.py',
        dict(**SMALL, bbox_head={**DENSE, 'feat_channels': 32}, test_cfg=ONE_STAGE),
    ),
    paa=('paa/paa_r50_fpn_1x_coco.py', dict(**SMALL, bbox_head={**DENSE, 'feat_channels': 32}, test_cfg=ONE_STAGE)),
    rtmdet=('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', RTMDET),
    yolox=(
        'yolox/yolox_tiny_8xb8-300e_coco.py',
        dict(
            data_preprocessor=dict(batch_augments=None),
            backbone=dict(widen_factor=0.125),
            neck=dict(in_channels=[32, 64, 128], out_channels=32),
            bbox_head=dict(num_classes=2, in_channels=32, feat_channels=32),
            test_cfg=dict(score_thr=0.0, max_per_img=20),
        ),
    ),
    detr=('detr/detr_r50_8xb2-150e_coco.py', DETR),
    conditional_detr=('conditional_detr/conditional-detr_r50_8xb2-50e_coco.py', DETR),
    dab_detr=('dab_detr/dab-detr_r50_8xb2-50e_coco.py', DETR),
    deformable_detr=('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', DEFORMABLE),
    two_stage_deformable_detr=('deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py', DEFORMABLE),
    dino=('dino/dino-4scale_r50_8xb2-12e_coco.py', DEFORMABLE),
    atss=('atss/atss_r50_fpn_1x_coco.py', dict(**SMALL, bbox_head={**DENSE, 'feat_channels': 32}, test_cfg=ONE_STAGE)),
    fcos=(
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        dict(**SMALL, bbox_head=dict(**DENSE, norm_cfg=None), test_cfg=ONE_STAGE),
    ),
    rtmdet_ins=('rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py', RTMDET),
    solov2=(
        'solov2/solov2-light_r50_fpn_ms-3x_coco.py',
        dict(
            **SMALL,
            mask_head=dict(
                num_classes=2,
                in_channels=16,
                feat_channels=32,
                stacked_convs=1,
                num_grids=[12, 10, 8, 6, 4],
                mask_feature_head=dict(feat_channels=32, out_channels=32),
            ),
            test_cfg=dict(score_thr=0.0, mask_thr=0.5, filter_thr=0.0, max_per_img=20),
        ),
    ),
    rpn=('_base_/models/rpn_r50_fpn.py', dict(**SMALL, **RPN, test_cfg=dict(rpn=dict(max_per_img=50)))),
    centernet=(
        'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
        dict(
            backbone=BACKBONE,
            neck=dict(in_channels=64, num_deconv_filters=(32, 16, 8), use_dcn=False),
            bbox_head=dict(num_classes=2, in_channels=8, feat_channels=8),
            test_cfg=dict(topk=20),
        ),
    ),
    cornernet=(
        'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
        dict(
            backbone=dict(stage_channels=[16] * 6, stage_blocks=[1] * 6, feat_channel=16),
            bbox_head=dict(num_classes=2, in_channels=16),
            test_cfg=dict(corner_topk=40, distance_threshold=10, score_thr=0.0, max_per_img=20),
        ),
    ),
    panoptic_fpn=(
        'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
        dict(**SMALL, **RPN, roi_head={**ROI_HEAD, **MASKS}, semantic_head=dict(in_channels=16, inner_channels=32)),
    ),
)


@pytest.fixture
def demo_cfg(data, configs):
    """The demo's config, tested on a module's own `data` of up to three classes, without workers."""
    cfg = Config.fromfile(configs / 'demo/sniper_tiny_shapes.py')
    loader = dict(num_workers=0, persistent_workers=False, dataset={k: v for k, v in data.items() if k != 'type'})
    changes = dict(test_dataloader=loader, test_evaluator=dict(ann_file=data['data_root'] + data['ann_file']))
    cfg.merge_from_dict(dict(**changes, model=dict(roi_head=dict(bbox_head=dict(num_classes=3)))))
    return cfg


@pytest.fixture
def detector_cfg(tmp_path):
    """Gives the config of a small detector by its name in `DETECTORS`."""

    def get(name):
        base, changes = DETECTORS[name]
        path = tmp_path / f'{name}.py'
        path.write_text(f"_base_ = 'mmdet::{base}'")
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(dict(model=changes))
        narrow(cfg.model)
        return cfg.model

    return get


@pytest.fixture
def detector(detector_cfg):
    """Builds a small detector, in evaluation mode, always with the same weights."""

    def build(name):
        init_default_scope('mmdet')
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(detector_cfg(name))).eval()
        if hasattr(model, 'encoder') or name == 'yolox':  # else whatever was in the memory, and boxes far outside
            model.init_weights()
        for part in model.modules():
            if isinstance(part, FCNMaskHead):  # masks with something in them, and edges that are clear
                part.conv_logits.weight.data *= 1000
                part.conv_logits.bias.data.zero_()
        head = getattr(model, 'bbox_head', None)
        for kernel in getattr(head, 'rtm_kernel', ()):
            kernel.bias.data.normal_()
        if name == 'yolox':  # scores that nobody takes for nothing
            for last in (*head.multi_level_conv_cls, *head.multi_level_conv_obj):
                last.bias.data.zero_()
        return model

    return build


@pytest.fixture
def mixed_chips(write_coco, planner_cfg, pipeline):
    """Every case of the labels: in range, out of range, cut, none, only a crowd, long and thin."""
    crowd = dict(bbox=[10, 10, 100, 80], iscrowd=1, segmentation={'counts': [0, 200 * 150], 'size': [150, 200]})
    images = [
        (320, 240, [dict(bbox=[10, 10, 20, 20]), dict(bbox=[40, 30, 150, 150]), dict(bbox=[100, 100, 60, 50])]),
        (200, 150, []),
        (200, 150, [crowd]),
        (400, 100, [dict(bbox=[5, 50, 380, 4]), dict(bbox=[200, 10, 15, 15])]),
    ]
    dataset = ChipDataset(write_coco(images), planner_cfg, pipeline)
    return [dataset[n] for n in range(len(dataset))]


class Oracle(nn.Module):
    """Finds bright rectangles on a dark ground in whatever view it gets; the colour channel is the class.

    Attributes:
        masks: None, 'pasted' or 'probabilities'.
        shapes: Per forward pass (batch size, height, width).
    """

    def __init__(self, masks=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.masks, self.shapes = masks, []

    def test_step(self, data):
        """Detect in a batch of one shape."""
        self.shapes.append((len(data['inputs']), *torch.stack(list(data['inputs'])).shape[-2:]))
        for view, sample in zip(data['inputs'], data['data_samples'], strict=True):
            assert sample.ori_shape == sample.img_shape == tuple(view.shape[-2:])
            assert sample.scale_factor == (1.0, 1.0)
            sample.pred_instances = self.look(view.float().numpy())
        return data['data_samples']

    def look(self, pixels):
        """What is in a view (3, H, W), to a fraction of a pixel."""
        bboxes, labels, masks = [], [], []
        for label, channel in enumerate(pixels):
            dark = min(channel.min(), 100)
            n, numbered = cv2.connectedComponents((channel >= 128).astype(np.uint8), connectivity=4)
            for k in range(1, n):
                rows, columns = np.nonzero(numbered == k)
                middle = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
                edges = []
                for line, (first, last) in (
                    (channel[middle[0]], (columns.min(), columns.max() + 1)),
                    (channel[:, middle[1]], (rows.min(), rows.max() + 1)),
                ):
                    # Its brightness tells how much of a border pixel is covered.
                    inner = (first + last) // 2
                    light = (line - dark) / (line[inner] - dark)
                    edges.append(
                        (inner - light[max(first - 2, 0) : inner].sum(), inner + light[inner : last + 2].sum())
                    )
                (x1, x2), (y1, y2) = edges
                bboxes.append([x1, y1, x2, y2])
                labels.append(label)
                masks.append(numbered == k)
        found = InstanceData(
            bboxes=torch.tensor(bboxes, dtype=torch.float).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.long)
        )
        found.scores = torch.full((len(labels),), 0.9)
        if self.masks == 'pasted':
            found.masks = torch.from_numpy(np.array(masks).reshape(-1, *pixels.shape[1:]))
        elif self.masks:
            found.masks = torch.ones(len(labels), 28, 28)
        return found


@pytest.fixture
def oracle():
    """The class, for the test to build."""
    return Oracle


@pytest.fixture
def packed():
    """Packs images (3, H, W) as ``PackDetInputs`` and ``pseudo_collate`` do."""

    def pack(*images):
        metas = [
            dict(img_id=n, img_path=f'{n}.png', ori_shape=tuple(image.shape[1:]), img_shape=tuple(image.shape[1:]))
            for n, image in enumerate(images)
        ]
        return dict(inputs=list(images), data_samples=[DetDataSample(metainfo=meta) for meta in metas])

    return pack
