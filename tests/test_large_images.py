"""Windows of images of every format against decoding the whole; what is reduced, and by how much it differs."""

import copy
import multiprocessing
import pickle

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from tiff_files import write_tiff

from mmsniper import large_images
from mmsniper.image_files import DeepImageError, MissingImageError, UnreadableImageError
from mmsniper.large_images import LargeImage, reduction_for

SIZE = (1203, 901)


def scene(width=SIZE[0], height=SIZE[1]):
    """Shapes with sharp edges on a slope of grey, without noise."""
    rng = np.random.default_rng(0)
    image = np.linspace(60, 160, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None] + np.zeros(3)
    image = image.astype(np.uint8)
    for _ in range(width * height // 8000):
        centre, axes = rng.integers(0, (width, height)), rng.integers(6, 60, 2)
        colour = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(image, centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return image


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """By format, one image; and with it, what mmcv's loader makes of each."""
    folder, image = tmp_path_factory.mktemp('images'), scene()
    for name in ('a.png', 'a.jpg', 'a.bmp'):
        cv2.imwrite(str(folder / name), image)
    write_tiff(folder / 'strips.tif', image, None, rowsperstrip=40)
    write_tiff(folder / 'mapped.tif', image, None, compression=None)
    write_tiff(folder / 'tiled.tif', image, 112)
    halves = [image]
    for _ in range(3):
        even = np.pad(halves[-1], [(0, n % 2) for n in halves[-1].shape[:2]] + [(0, 0)], 'edge')
        halves.append(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    write_tiff(folder / 'copies.tif', image, 128, *halves[1:])
    return {path.name: (path, LoadImageFromFile()(dict(img_path=str(path)))['img']) for path in folder.iterdir()}


NAMES = ['a.png', 'a.jpg', 'a.bmp', 'strips.tif', 'mapped.tif', 'tiled.tif', 'copies.tif']
ALL = (0, 0, *SIZE)


@pytest.mark.parametrize(
    ('zoom', 'reduction'),
    [(3, 1), (1, 1), (0.26, 1), (0.25, 2), (0.252, 2), (0.2, 2), (0.126, 4), (0.125, 4), (0.1, 4), (0.01, 32)],
)
def test_a_half_or_less_is_left_to_zoom(zoom, reduction):
    assert reduction_for(zoom) == reduction


@pytest.mark.parametrize('name', NAMES)
def test_fine_windows_are_the_whole_images(files, name):
    path, whole = files[name]
    image = LargeImage(path)
    assert image.size == SIZE
    for x1, y1, x2, y2 in [(0, 0, 1, 1), (1202, 900, 1203, 901), (300, 200, 812, 712), (1000, 3, 1203, 901), ALL]:
        size = ((x2 - x1) // 3 + 1, (y2 - y1) // 3 + 1)
        assert np.array_equal(image.read((x1, y1, x2, y2), size), whole[y1:y2, x1:x2])


COARSE = [((0, 0, *SIZE), 0.25), ((0, 0, *SIZE), 0.1), ((0, 0, *SIZE), 0.03), ((203, 101, 1003, 901), 0.16)]


@pytest.mark.parametrize(('window', 'zoom'), COARSE)
@pytest.mark.parametrize('name', ['a.jpg', 'strips.tif', 'mapped.tif', 'tiled.tif', 'copies.tif'])
def test_reduced_windows_are_close_to_and_better_than_reducing_the_whole(files, name, window, zoom):
    """Better: closer to the mean of all pixels, which bilinear zooming samples."""
    path, whole = files[name]
    x1, y1, x2, y2 = window
    size = round((x2 - x1) * zoom), round((y2 - y1) * zoom)
    found = LargeImage(path).read(window, size)
    assert found.shape == (*size[::-1], 3)
    crop = whole[y1:y2, x1:x2]
    before, ideal = (cv2.resize(crop, size, interpolation=by) for by in (cv2.INTER_LINEAR, cv2.INTER_AREA))
    apart, off, off_before = (
        np.abs(a.astype(int) - b).mean() for a, b in [(found, before), (found, ideal), (before, ideal)]
    )
    assert apart < (1.2 if zoom == 0.25 else 2 if zoom > 0.1 else 12)
    assert off <= off_before + (0.5 if zoom == 0.25 else 0)


def test_what_is_not_reduced_by_its_format_is_as_ever(files):
    for name in ('a.png', 'a.bmp'):
        path, whole = files[name]
        assert np.array_equal(LargeImage(path).read(ALL, (40, 30)), whole)


def test_overlapping_windows_see_the_same_blocks(files):
    """Which blocks are averaged depends on the file alone."""
    for name in ('a.jpg', 'tiled.tif', 'copies.tif'):
        image = LargeImage(files[name][0])
        all_of_it = image.read((0, 0, 1200, 896), (120, 112))
        part = image.read((400, 320, 1200, 896), (80, 72))
        # The last bits of a sum in another order; at the window's own border pixels outside are not known.
        assert np.abs(all_of_it[40:, 40:].astype(int) - part).max() <= 1


@pytest.mark.parametrize('limit', [1, 3000, 10**9])
def test_reading_in_bands_changes_nothing(files, monkeypatch, limit):
    path, _ = files['tiled.tif']
    expected = LargeImage(path).read(ALL, (100, 75))
    monkeypatch.setattr(large_images, 'BAND_PIXELS', limit)
    assert np.array_equal(LargeImage(path).read(ALL, (100, 75)), expected)


def test_what_was_read_before_changes_nothing_and_is_counted(files):
    path, whole = files['a.jpg']
    fresh, used = LargeImage(path), LargeImage(path)
    used.read((0, 0, 100, 100), (100, 100))
    assert np.array_equal(used.read(ALL, (120, 90)), fresh.read(ALL, (120, 90)))
    sides = [(1203, 901), (602, 451), (301, 226), (151, 113)]
    assert fresh.nbytes == used.nbytes == sum(3 * width * height for width, height in sides), 'at most'
    assert LargeImage(files['a.png'][0]).nbytes == whole.nbytes
    assert [LargeImage(files[name][0]).nbytes for name in ('tiled.tif', 'mapped.tif')] == [0, 0]


def test_a_handle_decodes_once_in_deep_copies_too(files, monkeypatch):
    image = LargeImage(files['a.jpg'][0])
    expected = image.read((0, 0, 9, 9), (9, 9))
    monkeypatch.setattr(large_images, 'load_checked', None)
    assert np.array_equal(copy.deepcopy(dict(image=image))['image'].read((0, 0, 9, 9), (9, 9)), expected)


def read_some(arguments):
    """In another process."""
    image, seed = arguments
    rng = np.random.default_rng(seed)
    return [image.read((x, y, x + 100, y + 100), (100, 100)) for x, y in rng.integers(0, 800, (30, 2))]


@pytest.mark.parametrize('name', ['a.jpg', 'tiled.tif', 'mapped.tif'])
def test_handles_work_in_copies_and_forks(files, name):
    image = LargeImage(files[name][0])
    expected = [read_some((image, seed)) for seed in range(4)]
    assert np.array_equal(read_some((pickle.loads(pickle.dumps(image)), 0)), expected[0])
    global inherited
    inherited = image
    with multiprocessing.get_context('fork').Pool(2) as pool:
        assert np.array_equal(pool.map(read_inherited, range(4), chunksize=1), expected)


inherited = None


def read_inherited(seed):
    """By the handle that the parent has."""
    return read_some((inherited, seed))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_photographs_are_turned_as_mmcv_turns_them(tmp_path, orientation):
    path = tmp_path / 'a.jpg'
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(scene(120, 90)).save(path, exif=exif)
    whole = LoadImageFromFile()(dict(img_path=str(path)))['img']
    image = LargeImage(path)
    assert image.size == whole.shape[1::-1]
    assert np.array_equal(image.read((0, 0, *image.size), image.size), whole)
    small = mmcv.imresize(image.read((0, 0, *image.size), (20, 20)), (20, 20))
    assert np.abs(small.astype(int) - cv2.resize(whole, (20, 20), interpolation=cv2.INTER_AREA)).mean() < 8


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'RGB'])
@pytest.mark.parametrize('progressive', [False, True])
def test_jpegs_of_all_kinds(tmp_path, mode, progressive):
    path = tmp_path / 'a.jpg'
    Image.fromarray(scene(121, 93)).convert(mode).save(path, progressive=progressive)
    whole = LoadImageFromFile()(dict(img_path=str(path)))['img']
    image = LargeImage(path)
    assert np.array_equal(image.read((5, 7, 60, 80), (55, 73)), whole[7:80, 5:60])
    small, ideal = image.read((0, 0, 121, 93), (15, 12)), cv2.resize(whole, (15, 12), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - ideal).mean() < 8


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.tif'])
def test_files_that_are_no_images(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(MissingImageError, match=f'{name}: cannot be read as an image: the file does not exist'):
        LargeImage(path)
    for content, why in ((b'', 'the file is empty'), (b'hello', 'damaged'), (b'II*\0hello', 'damaged')):
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError, match=f'{name}: cannot be read as an image: .*{why}'):
            LargeImage(path)


def test_16_bits_are_refused(tmp_path):
    for name in ('a.png', 'a.tif'):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60), np.uint16))
        with pytest.raises(DeepImageError, match='has 16 bits per channel'):
            LargeImage(tmp_path / name)


@pytest.mark.parametrize('name', ['a.jpg', 'tiled.tif', 'mapped.tif'])
def test_a_cut_off_file_never_fails_in_another_way(tmp_path, files, name):
    content = files[name][0].read_bytes()
    path = tmp_path / name
    rng = np.random.default_rng(0)
    refused = 0
    for n in [*range(0, 200, 7), *rng.integers(0, len(content), 40).tolist(), len(content) - 1]:
        path.write_bytes(content[:n])
        try:
            image = LargeImage(path)
            image.read((0, 0, 1, 1), (1, 1))
        except UnreadableImageError as error:
            refused += name in str(error)
    assert refused > 25


def test_a_changed_header_never_fails_in_another_way(tmp_path, files):
    content = files['copies.tif'][0].read_bytes()
    places = range(700)  # where tifffile writes it
    path = tmp_path / 'a.tif'
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.choice(places, 3):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            image = LargeImage(path)
            if image.size[0] * image.size[1] < 10**7:
                image.read((0, 0, *image.size), (100, 75))
                image.read((0, 0, 1, 1), (1, 1))
        except (UnreadableImageError, DeepImageError):
            pass


def test_windows_must_lie_inside(files):
    image = LargeImage(files['tiled.tif'][0])
    for window in [(-1, 0, 5, 5), (0, 0, 1204, 5), (5, 5, 5, 9), (0, 0, 5, 902)]:
        with pytest.raises(ValueError, match='is no window of 1203 x 901 pixels'):
            image.read(window, (5, 5))


def test_decoding_a_large_image_whole_is_said_once(files, monkeypatch, messages):
    monkeypatch.setattr(large_images, 'LARGE', 10**6)
    monkeypatch.setattr(large_images, '_said', set())
    for _ in range(2):
        for name in ('tiled.tif', 'a.jpg', 'a.png'):
            LargeImage(files[name][0]).read((0, 0, 9, 9), (9, 9))
    said = [message for message in messages() if 'is decoded whole' in message]
    assert len(said) == 1 and 'a.jpg, 1203 x 901 px' in said[0] and 'vips tiffsave' in said[0]
