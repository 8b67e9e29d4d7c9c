import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.detectors import MaskRCNN
from mmdet.models.test_time_augs import DetTTAModel
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as coco_mask

from mmsniper.apis import MultiScaleInferencer, image_files
from mmsniper.models import MultiScaleChipTTA

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def inferencer(tiny_mask_rcnn):
    config, checkpoint = tiny_mask_rcnn
    return MultiScaleInferencer(str(config), str(checkpoint), device='cpu', show_progress=False)


def changed(tiny_mask_rcnn, tta=True, **changes):
    cfg = Config.fromfile(tiny_mask_rcnn[0])
    cfg.merge_from_dict(changes)
    return MultiScaleInferencer(cfg, str(tiny_mask_rcnn[1]), tta=tta, device='cpu', show_progress=False)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def check(prediction, width, height):
    """Detections of an image of this size, that JSON takes."""
    n = len(prediction['scores'])
    assert n == len(prediction['bboxes']) == len(prediction['labels']) == len(prediction['masks']) > 0
    bboxes = np.array(prediction['bboxes'])
    assert (bboxes >= 0).all() and (bboxes[:, 2:] <= (width, height)).all()
    assert set(prediction['labels']) <= {0, 1}
    for rle, (x1, y1, x2, y2) in zip(json.loads(json.dumps(prediction['masks'])), bboxes, strict=True):
        assert rle['size'] == [height, width]
        mask = coco_mask.decode(rle)
        mask[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))] = 0
        assert not mask.any(), 'a mask lies in its box'


def test_paths_arrays_and_folders_give_the_same(inferencer, tmp_path):
    pixels = noise(60, 80, 3)
    cv2.imwrite(str(tmp_path / 'b.png'), pixels)
    cv2.imwrite(str(tmp_path / 'a.PNG'), noise(40, 50, 3))
    (tmp_path / 'notes.txt').write_text('no image')
    result = inferencer(tmp_path / 'b.png')
    check(result['predictions'][0], 80, 60)
    assert inferencer(pixels)['predictions'] == result['predictions']
    both = inferencer(tmp_path)['predictions']
    check(both[0], 50, 40)
    assert both[1] == result['predictions'][0], 'images of a folder come by name'
    for found in inferencer([str(tmp_path / 'b.png'), pixels], batch_size=2)['predictions']:
        np.testing.assert_allclose(found['bboxes'], result['predictions'][0]['bboxes'], atol=1e-3)
    assert image_files(tmp_path) == ([tmp_path / 'a.PNG', tmp_path / 'b.png'], 1)


def test_a_folder_without_images_is_refused(inferencer, tmp_path):
    (tmp_path / 'notes.txt').write_text('no image')
    with pytest.raises(ValueError, match=r'no images among 1 files.*\.jpg'):
        inferencer(str(tmp_path))


IMAGES = {
    'grey.png': (noise(60, 80), (80, 60)),
    'rgba.png': (noise(60, 80, 4), (80, 60)),
    'one.png': (noise(1, 1, 3), (1, 1)),
    'long.png': (noise(50, 20000, 3), (20000, 50)),
}


@pytest.mark.parametrize('tta', [True, False], ids=['tta', 'single'])
@pytest.mark.parametrize('name', IMAGES)
def test_unusual_images(inferencer, tiny_mask_rcnn, tmp_path, name, tta):
    pixels, size = IMAGES[name]
    cv2.imwrite(str(tmp_path / name), pixels)
    run = inferencer if tta else changed(tiny_mask_rcnn, tta=False)
    result = run(str(tmp_path / name), return_vis=True)
    check(result['predictions'][0], *size)
    assert result['visualization'][0].shape[:2] == (
        (60, 80) if size == (80, 60) else (1, 1) if size == (1, 1) else (5, 2000)
    )


@pytest.mark.parametrize('channels', [(), (3,)], ids=['grey', 'colour'])
def test_images_of_16_bits_are_refused_or_read_by_their_range(inferencer, tiny_mask_rcnn, tmp_path, channels):
    path = str(tmp_path / 'deep.png')
    cv2.imwrite(path, noise(60, 80, *channels).astype(np.uint16) * 16)
    with pytest.raises(ValueError, match=r'deep\.png: has 16 bits per channel.*To8Bit'):
        inferencer(path)
    cfg = Config.fromfile(tiny_mask_rcnn[0])
    cfg.tta_pipeline[0].color_type = 'unchanged'
    cfg.tta_pipeline.insert(1, dict(type='mmsniper.To8Bit', max_value=4095))
    check(MultiScaleInferencer(cfg, str(tiny_mask_rcnn[1]), device='cpu')(path)['predictions'][0], 80, 60)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(backbone=dict(depth=34)), r'weights \d+ are missing \(backbone\.layer1\.2\.conv1\.weight, .*, \.\.\.\)'),
        (dict(roi_head=dict(bbox_head=dict(num_classes=3))), r'fc_cls\.weight \(3, 32\) instead of \(4, 32\)'),
        (dict(type='FasterRCNN', roi_head=dict(mask_head=None)), r'are of nothing in the model \(roi_head\.mask_head'),
    ],
    ids=['deeper', 'more classes', 'no masks'],
)
def test_a_checkpoint_of_another_detector_is_refused(tiny_mask_rcnn, change, message):
    cfg = Config.fromfile(tiny_mask_rcnn[0])
    cfg.merge_from_dict(dict(model=change))
    with pytest.raises(ValueError, match=f'the checkpoint does not fit the config: .*{message}.*trained with'):
        MultiScaleInferencer(cfg, str(tiny_mask_rcnn[1]), device='cpu')


def test_averages_that_mmdet_2_kept_beside_the_weights_are_no_fault(tiny_mask_rcnn, tmp_path):
    content = torch.load(tiny_mask_rcnn[1], weights_only=True)
    content['state_dict']['ema_backbone_conv1_weight'] = torch.zeros(3)
    torch.save(content, tmp_path / 'old.pth')
    MultiScaleInferencer(str(tiny_mask_rcnn[0]), str(tmp_path / 'old.pth'), device='cpu')


@pytest.mark.parametrize('tta', [True, False], ids=['tta', 'single'])
def test_what_limits_leave_out_is_told(tiny_mask_rcnn, tta):
    run = changed(tiny_mask_rcnn, tta, model=dict(test_cfg=dict(rcnn=dict(max_per_img=5))))
    image = noise(60, 80, 3)
    run.report_thr = 0.99
    quiet = run(image, return_datasamples=True)['predictions'][0]
    assert run.what_limits_left_out(quiet) == '', 'nothing of a random network would be drawn'
    run.report_thr = 0.0
    text = run.what_limits_left_out(run(image, return_datasamples=True)['predictions'][0])
    assert 'views have as many detections as the detector gives, 5, and may have more: set max_per_img' in text


def test_an_image_that_the_camera_turned(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(noise(60, 80, 3)).save(tmp_path / 'turned.jpg', exif=exif, quality=95)
    turned = inferencer(str(tmp_path / 'turned.jpg'), return_vis=True)
    check(turned['predictions'][0], 60, 80)
    assert turned['visualization'][0].shape == (80, 60, 3), 'the picture is upright'
    cv2.imwrite(str(tmp_path / 'upright.png'), cv2.imread(str(tmp_path / 'turned.jpg')))
    assert inferencer(str(tmp_path / 'upright.png'))['predictions'] == turned['predictions']


@pytest.mark.parametrize('tta', [True, False], ids=['tta', 'single'])
def test_what_is_no_image_is_named(inferencer, tiny_mask_rcnn, tmp_path, tta):
    run = inferencer if tta else changed(tiny_mask_rcnn, tta=False)
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.jpg').write_text('hello')
    cut = cv2.imencode('.png', noise(60, 80, 3))[1].tobytes()[:5000]
    (tmp_path / 'cut.png').write_bytes(cut)
    for name, reason in (('empty.jpg', 'the file is empty'), ('text.jpg', 'damaged'), ('cut.png', 'damaged')):
        with pytest.raises(ValueError, match=rf'{name}: cannot be read as an image: .*{reason}'):
            run(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match='missing.jpg'):
        run(str(tmp_path / 'missing.jpg'))


@pytest.mark.parametrize(
    'pixels', [noise(60, 80), noise(60, 80, 4), noise(60, 80, 3).astype(np.uint16), noise(0, 80, 3)]
)
def test_arrays_of_another_kind_are_refused(inferencer, pixels):
    with pytest.raises(ValueError, match=r'\(H, W, 3\) uint8 in BGR order; got \(\d+, 80'):
        inferencer(pixels)


def test_which_model_and_pipeline_are_used(tiny_mask_rcnn, inferencer, messages):
    assert isinstance(inferencer.model, MultiScaleChipTTA)
    assert inferencer.model.scales == (1.0, (128.0, 128.0))
    assert inferencer.model.dataset_meta['classes'] == ('thing', 'other')
    assert isinstance(changed(tiny_mask_rcnn, tta=False).model, MaskRCNN)
    assert not any('tta_model' in message for message in messages())

    plain = changed(tiny_mask_rcnn, tta_model=None, tta_pipeline=None)
    assert plain.model.scales == ((2000.0, 1400.0), (1280.0, 800.0), (512.0, 480.0))
    assert any('no tta_model: MultiScaleChipTTA with its default scales' in message for message in messages())
    check(plain(noise(20, 30, 3))['predictions'][0], 30, 20)


def test_a_tta_model_of_mmdet_works_too(tiny_mask_rcnn):
    cfg = Config.fromfile(tiny_mask_rcnn[0])
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=10))
    pack = dict(
        type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
    )
    flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
    sizes = [dict(type='Resize', scale=(64, 64), keep_ratio=True)]
    steps = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[sizes, flips, [pack]])]
    cfg.tta_pipeline = steps
    cfg.model.roi_head.mask_head = cfg.model.roi_head.mask_roi_extractor = None  # it merges boxes only
    run = MultiScaleInferencer(cfg, None, device='cpu', show_progress=False)
    assert isinstance(run.model, DetTTAModel)
    assert len(run(noise(60, 80, 3))['predictions'][0]['bboxes']) == 10


def test_nothing_found(tiny_mask_rcnn, tmp_path):
    run = changed(tiny_mask_rcnn, tta_model=dict(tta_cfg=dict(score_thr=1.0)))
    result = run(noise(60, 80, 3), return_vis=True)
    assert result['predictions'] == [dict(labels=[], scores=[], bboxes=[], masks=[])]
    assert result['visualization'][0].shape == (60, 80, 3)


def test_what_is_saved(inferencer, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), noise(60, 80, 3))
    for image, name in ((str(tmp_path / 'a.png'), 'a'), (noise(60, 80, 3), '0')):
        result = inferencer(image, out_dir=str(tmp_path / 'out'), no_save_pred=False)
        assert json.loads((tmp_path / f'out/preds/{name}.json').read_text()) == json.loads(
            json.dumps(result['predictions'][0])
        )
    assert (tmp_path / 'out/vis/a.png').exists()


def test_arrays_are_saved_by_number(tiny_mask_rcnn, tmp_path):
    arrays = [noise(60, 80, 3), noise(40, 50, 3)]
    run = changed(tiny_mask_rcnn)
    found = run(arrays, out_dir=str(tmp_path / 'out'), no_save_pred=False)['predictions']
    assert sorted(path.name for path in (tmp_path / 'out/preds').iterdir()) == ['0.json', '1.json']
    for n in range(2):
        assert json.loads((tmp_path / f'out/preds/{n}.json').read_text()) == json.loads(json.dumps(found[n]))
