# tools/test.py --tta: every scale answers for the sizes it is trained on, and soft-NMS joins them.
tta_model = dict(
    type='mmsniper.MultiScaleChipTTA',
    tta_cfg=dict(
        # They follow from the planner of train_dataloader: its scales, and ranges that end a fifth beyond its; for the
        # paper's planner, the paper's [(2000, 1400), (1280, 800), (512, 480)] and [(None, 90), (32, 180), (75, None)].
        # Your own: a scale is (long edge, short edge) or a zoom factor; its range is on sqrt(width * height) of a
        # detection in image pixels. Images far larger than the edges are reduced to them: for small objects there, let
        # the finest scale be a zoom factor, such as 1.0, which shows them in tiles.
        scales='planner',
        ranges='planner',
        flip=False,
        nms=dict(type='soft_nms'),  # Gaussian, sigma 0.55
        # An RPN's proposals are all to be kept: 0.0 and -1. None: 200, in tiles 200 per tile.
        score_thr=0.001,
        max_per_img=None,
        # Usually left alone: larger canvases are cut into overlapping tiles, None = beyond 2048 px, of DETR and its kin
        # beyond a chip's side; network pixels of a forward pass.
        max_canvas=None,
        batch_pixels=2048 * 2048,
    ),
)
# Views are cut from the image inside the model.
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
]
