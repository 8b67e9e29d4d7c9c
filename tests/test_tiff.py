"""Windows of TIFF files against OpenCV's decoding of the whole."""

import importlib.util
import sys

import cv2
import numpy as np
import pytest
import tifffile
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from tiff_files import write_tiff

from mmsniper import tiff
from mmsniper.image_files import DeepImageError, UnreadableImageError
from mmsniper.large_images import LargeImage
from mmsniper.tiff import read_levels, read_window

codecs = pytest.mark.skipif(importlib.util.find_spec('imagecodecs') is None, reason='needs imagecodecs')
RNG = np.random.default_rng(0)


def smooth(height, width, channels=3):
    """An image with something in it that compresses."""
    image = cv2.GaussianBlur(RNG.integers(0, 256, (height, width, channels), dtype=np.uint8), (0, 0), 3)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).reshape(height, width, channels)


def check_windows(path, whole, factor=1):
    """Corners, edges, single pixels, all of it, and some at random."""
    height, width = whole.shape[:2]
    windows = [(0, 0, 1, 1), (width - 1, height - 1, width, height), (0, 0, width, height)]
    for _ in range(20):
        x1, y1 = int(RNG.integers(width)), int(RNG.integers(height))
        windows.append((x1, y1, int(RNG.integers(x1, width)) + 1, int(RNG.integers(y1, height)) + 1))
    level = read_levels(str(path))[factor]
    assert level.size == (width, height)
    for x1, y1, x2, y2 in windows:
        assert np.array_equal(read_window(str(path), level, (x1, y1, x2, y2)), whole[y1:y2, x1:x2])
    return level


@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize(
    'compression',
    [None, 'zlib', pytest.param('lzw', marks=codecs), pytest.param('jpeg', marks=codecs), 'packbits'],
)
@pytest.mark.parametrize(('byteorder', 'bigtiff'), [('<', False), ('>', False), ('<', True), ('>', True)])
def test_tiles_are_the_whole_pixel_for_pixel(tmp_path, compression, channels, byteorder, bigtiff):
    if compression == 'jpeg' and channels == 4:
        pytest.skip('JPEG has no fourth channel')
    if compression == 'packbits' and importlib.util.find_spec('imagecodecs') is None:
        pytest.skip('tifffile writes it by imagecodecs')
    path = tmp_path / 'a.tif'
    options = dict(compression=compression, byteorder=byteorder, bigtiff=bigtiff)
    whole = write_tiff(path, smooth(301, 217, channels), 64, **options)
    level = check_windows(path, whole)
    assert level.piece == (64, 64) and len(level.page.dataoffsets) == 20 and not level.mapped


@codecs
@pytest.mark.parametrize('subsampling', [(1, 1), (2, 1), (2, 2)])
def test_jpeg_tiles_of_all_kinds(tmp_path, subsampling):
    path = tmp_path / 'a.tif'
    whole = write_tiff(path, smooth(301, 217), 64, compression='jpeg', subsampling=subsampling, photometric='ycbcr')
    check_windows(path, whole)


@pytest.mark.parametrize('shape', [(1, 1), (1, 300), (300, 1), (16, 16), (17, 16)], ids=str)
def test_tiny_images(tmp_path, shape):
    check_windows(tmp_path / 'a.tif', write_tiff(tmp_path / 'a.tif', smooth(*shape), 16))


@pytest.mark.parametrize('alpha', ['unassalpha', 'assocalpha', 'unspecified'])
@pytest.mark.parametrize('predictor', [False, True])
def test_alpha_is_what_opencv_makes_of_it(tmp_path, alpha, predictor):
    path = tmp_path / 'a.tif'
    check_windows(path, write_tiff(path, smooth(100, 120, 4), 64, extrasamples=[alpha], predictor=predictor))


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA'])
@pytest.mark.parametrize('compression', ['raw', pytest.param('tiff_lzw', marks=codecs), 'tiff_deflate', 'packbits'])
def test_strips(tmp_path, mode, compression):
    path = tmp_path / 'a.tif'
    Image.fromarray(smooth(150, 90)).convert(mode).save(path, compression=compression, tiffinfo={278: 40})
    check_windows(path, cv2.imread(str(path)))


def test_uncompressed_strips_are_mapped(tmp_path):
    path = tmp_path / 'a.tif'
    for rows in (7, 1500):
        level = check_windows(path, write_tiff(path, smooth(1500, 100), None, compression=None, rowsperstrip=rows))
        assert level.mapped


def test_reduced_copies_are_found_and_others_are_not(tmp_path):
    image = smooth(301, 403)
    copies = [np.ascontiguousarray(image[::n, ::n]) for n in (4, 2)] + [image[:100, :134], image[:77, :100]]
    whole = write_tiff(tmp_path / 'a.tif', image, 64, *copies)
    assert list(read_levels(str(tmp_path / 'a.tif'))) == [1, 4, 2, 3]
    check_windows(tmp_path / 'a.tif', whole)
    check_windows(tmp_path / 'a.tif', copies[1], factor=2)
    # As GDAL writes them: one after the other, with a mask.
    mask = np.ones((151, 202), bool)
    pages = (image, 0), (mask, 5), (copies[1], 1), (copies[0], 0)
    with tifffile.TiffWriter(tmp_path / 'b.tif') as file:
        for one, kind in pages:
            options = dict(photometric='miniswhite') if one is mask else dict(photometric='rgb', compression='zlib')
            file.write(one if one is mask else one[..., ::-1], tile=(64, 64), subfiletype=kind, **options)
    assert list(read_levels(str(tmp_path / 'b.tif'))) == [1, 2]
    check_windows(tmp_path / 'b.tif', copies[1], factor=2)


def grey(**options):
    return smooth(100, 120, 1)[..., 0], options


NOT_IN_WINDOWS = {
    'floats': (np.zeros((100, 120, 3), np.float16), {}),
    'planes apart': (smooth(100, 120).transpose(2, 0, 1), dict(planarconfig='separate', photometric='rgb')),
    'turned': grey(extratags=[(274, 'H', 1, 6, True)]),
    'white is 0': grey(photometric='miniswhite'),
    'palette': grey(photometric='palette', colormap=np.zeros((3, 256), np.uint16)),
    'gray and alpha': (smooth(100, 120, 2), dict(planarconfig='contig', photometric='minisblack')),
    'CMYK': (smooth(100, 120, 4), dict(photometric='separated')),
    'huge strip': (smooth(100, 120), dict(tile=None, rowsperstrip=100)),
}


@pytest.mark.parametrize('what', NOT_IN_WINDOWS)
def test_what_is_not_plain_is_decoded_whole(tmp_path, what, monkeypatch):
    monkeypatch.setattr(tiff, 'LARGEST_PIECE', 64 * 64 * 4)
    path = tmp_path / 'a.tif'
    image, options = NOT_IN_WINDOWS[what]
    tifffile.imwrite(path, image, **dict(tile=(64, 64), compression='zlib', metadata=None) | options)
    if what == 'floats':
        with pytest.raises(DeepImageError, match='has 16 bits per channel'):
            LargeImage(path)
        return
    assert read_levels(str(path)) == {}
    whole, image = LoadImageFromFile()(dict(img_path=str(path)))['img'], LargeImage(path)
    assert image.nbytes == whole.nbytes
    assert np.array_equal(image.read((3, 5, 90, 90), (87, 85)), whole[5:90, 3:90])


@pytest.mark.parametrize('bigtiff', [False, True])
def test_16_bits_are_refused(tmp_path, bigtiff):
    image = np.zeros((100, 120), np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', image, tile=(64, 64), bigtiff=bigtiff)
    with pytest.raises(DeepImageError, match=r'a\.tif: has 16 bits per channel, of which .*mmsniper\.To8Bit'):
        LargeImage(tmp_path / 'a.tif')


def test_missing_libraries_are_named_when_opening(tmp_path, monkeypatch):
    path = tmp_path / 'a.tif'
    write_tiff(path, smooth(128, 128), 64)
    monkeypatch.setattr(tifffile.TIFF, 'DECOMPRESSORS', {1: None})
    with pytest.raises(ImportError, match=r'a\.tif: .* needs imagecodecs \(for ADOBE_DEFLATE\): pip install tifffile'):
        LargeImage(path)
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    with pytest.raises(ImportError, match=r'a\.tif: .* needs tifffile: pip install tifffile imagecodecs'):
        LargeImage(path)


def test_a_damaged_tile_is_named_and_others_are_read(tmp_path):
    path = tmp_path / 'a.tif'
    whole = write_tiff(path, smooth(128, 128), 64)
    page = read_levels(str(path))[1].page
    content = bytearray(path.read_bytes())
    content[page.dataoffsets[2] : page.dataoffsets[2] + page.databytecounts[2]] = b'\xff' * page.databytecounts[2]
    path.write_bytes(content)
    image = LargeImage(path)
    assert np.array_equal(image.read((0, 0, 128, 64), (128, 64)), whole[:64])
    with pytest.raises(
        UnreadableImageError, match=r'a\.tif: cannot be read as an image: tile or strip 2 of 4 is damaged'
    ):
        image.read((0, 0, 64, 128), (64, 128))
