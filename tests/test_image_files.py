"""Depth of image files by their headers; why a file cannot be read."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmsniper.image_files import DeepImageError, bits_per_channel, check_depth, unreadable

DEPTHS = {
    '8 bit grey PNG': ('a.png', np.zeros((4, 5), np.uint8), 8),
    '8 bit colour PNG': ('a.png', np.zeros((4, 5, 3), np.uint8), 8),
    '16 bit grey PNG': ('a.png', np.zeros((4, 5), np.uint16), 16),
    '16 bit colour PNG': ('a.PNG', np.zeros((4, 5, 3), np.uint16), 16),
    '8 bit grey TIFF': ('a.tif', np.zeros((4, 5), np.uint8), 8),
    '8 bit colour TIFF': ('a.tiff', np.zeros((4, 5, 3), np.uint8), 8),
    '16 bit grey TIFF': ('a.tif', np.zeros((4, 5), np.uint16), 16),
    '16 bit colour TIFF': ('a.tif', np.zeros((4, 5, 3), np.uint16), 16),
    'JPEG': ('a.jpg', np.zeros((4, 5, 3), np.uint8), 8),
}


@pytest.mark.parametrize('name', DEPTHS)
def test_the_header_tells_the_depth(tmp_path, name):
    file_name, image, bits = DEPTHS[name]
    cv2.imwrite(str(tmp_path / file_name), image)
    assert bits_per_channel(tmp_path / file_name) == bits


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize(('image', 'bits'), [((4, 5), 16), ((4, 5, 3), 16), ((4, 5, 5), 16)], ids=str)
def test_bigtiff_tells_it_too(tmp_path, order, image, bits):
    tifffile = pytest.importorskip('tifffile')
    for kind, expected in ((np.uint16, bits), (np.uint8, 8)):
        tifffile.imwrite(tmp_path / 'a.tif', np.zeros(image, kind), bigtiff=True, byteorder=order)
        assert bits_per_channel(tmp_path / 'a.tif') == expected


def test_other_byte_order_palettes_and_single_bits(tmp_path):
    big = b'MM\0*' + (8).to_bytes(4, 'big') + (1).to_bytes(2, 'big')
    big += (
        (258).to_bytes(2, 'big') + (3).to_bytes(2, 'big') + (1).to_bytes(4, 'big') + (16).to_bytes(2, 'big') + b'\0\0'
    )
    (tmp_path / 'big.tif').write_bytes(big)
    assert bits_per_channel(tmp_path / 'big.tif') == 16
    Image.new('P', (4, 5)).save(tmp_path / 'palette.png')
    Image.new('1', (4, 5)).save(tmp_path / 'single.png')
    Image.new('1', (4, 5)).save(tmp_path / 'single.tif')
    for name in ('palette.png', 'single.png', 'single.tif'):
        check_depth(LoadImageFromFile(), tmp_path / name)


@pytest.mark.parametrize(
    'content',
    [
        *(b'', b'II*\0', b'II*\0\xff\xff\xff\xff', b'MM\0*\0\0\0\x08\0\x09', b'\x89PNG\r\n\x1a\n'),
        b'II+\0\x08\0\0\0\x05\0\0\0\0\0\0\x80',  # an offset beyond what a file can have
    ],
)
def test_what_is_cut_off_is_left_to_the_decoder(tmp_path, content):
    for name in ('a.tif', 'a.png'):
        (tmp_path / name).write_bytes(content)
        assert bits_per_channel(tmp_path / name) == 8


def test_what_is_no_file_here_is_not_looked_at():
    check_depth(LoadImageFromFile(), 'https://example.org/a.png')


class MyLoader(LoadImageFromFile):
    """Somebody's own, who knows what it does."""


LOADERS = {
    'usual': (LoadImageFromFile(), False),
    'cast afterwards': (LoadImageFromFile(to_float32=True), False),
    'in grey': (LoadImageFromFile(color_type='grayscale'), False),
    'as it is': (LoadImageFromFile(color_type='unchanged'), True),
    'by tifffile': (LoadImageFromFile(imdecode_backend='tifffile'), True),
    'own': (MyLoader(), True),
}


@pytest.mark.parametrize('name', LOADERS)
def test_it_is_the_loader_that_narrows(tmp_path, name):
    loader, keeps = LOADERS[name]
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 5), np.uint16))
    if keeps:
        check_depth(loader, tmp_path / 'a.png')
    else:
        with pytest.raises(DeepImageError, match=r'a\.png: has 16 bits'):
            check_depth(loader, tmp_path / 'a.png')


def test_reasons_are_words(tmp_path):
    (tmp_path / 'empty.jpg').touch()
    assert 'image: the file is empty; restore' in str(unreadable(tmp_path / 'empty.jpg', ValueError('x')))
    assert 'image: the file does not exist; restore' in str(unreadable('none.jpg', FileNotFoundError()))
    assert 'damaged' in str(unreadable('a.jpg', AssertionError()))
    assert ': [Errno 13] Permission denied; ' in str(unreadable('a.jpg', PermissionError(13, 'Permission denied')))
    assert ': KeyError; ' in str(unreadable('a.jpg', KeyError()))
