"""Draw a detection data set of geometric shapes, in COCO format with polygons.

The images mimic what multi-scale chips live on: objects of 10 to 400 px that gather in part of the image, close-up
views and far ones, a cluttered background, and unannotated shapes of other kinds (distractors) everywhere.

Every coordinate is in image pixels; the first pixel spans [0, 1) x [0, 1). H, W: image height, width; P: points.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import cv2
import numpy as np
from shapely import MultiPolygon, Polygon, box, set_precision
from tqdm import tqdm


def _polar(degrees, radii=1.0):
    """Points (P, 2) at these angles and distances from the origin."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1) * np.reshape(radii, (-1, 1))


# Shapes around the origin in no particular scale: an outer ring (P, 2), then holes (only the ring's).
_FULL, _TURNS = np.arange(0, 360, 7.5), [np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
OBJECTS = dict(
    circle=[_polar(_FULL)],
    square=[_polar(np.arange(45, 360, 90))],
    triangle=[_polar(np.arange(0, 360, 120))],
    star=[_polar(np.arange(0, 360, 36), np.tile([1, 0.42], 5))],
    cross=[np.concatenate([np.array([[0.32, 0.32], [0.32, 1], [-0.32, 1]]) @ turn for turn in _TURNS])],
)
DISTRACTORS = dict(
    ring=[_polar(_FULL), _polar(_FULL, 0.58)],
    crescent=[np.concatenate([_polar(np.linspace(45, 315, 30)), _polar(np.linspace(285, 75, 20), 0.765) + (0.415, 0)])],
    arrow=[np.array([[-1, -0.2], [0.1, -0.2], [0.1, -0.6], [1, 0], [0.1, 0.6], [0.1, 0.2], [-1, 0.2]])],
    bar=[np.array([[-1, -0.2], [1, -0.2], [1, 0.2], [-1, 0.2]])],
    hourglass=[np.array([[-1, -0.7], [0, -0.12], [1, -0.7], [1, 0.7], [0, 0.12], [-1, 0.7]])],
)
SHAPES, CLASSES = {**OBJECTS, **DISTRACTORS}, tuple(OBJECTS)
SPLITS, HUE_STD, TRIES = ('train', 'val'), 15, 40
HUES = (0, 215, 125, 48, 290)  # degrees, the hue each class tends to; a distractor borrows the one of any class
DISTRACTOR_SIZE = (12, 120)
MAX_COVER = 0.4  # an object keeps more than 60 % of its visible area free of shapes drawn after it
MIN_INSIDE = 0.4  # and the image border cuts off at most 60 % of it
# Bins of object size (px) and their shares in far views and in close-ups. Sizes go together in one image, as in
# photographs: were large objects in every image, a chip of the coarsest scale would show all of every image.
SIZE_BINS = ((0, 32), (32, 72), (72, np.inf))
FAR_SHARES, CLOSE_SHARES, CLOSE_PROBABILITY = (0.58, 0.42, 0.0), (0.2, 0.3, 0.5), 0.2


def _option(default, least, most, text):
    return field(default=default, metadata=dict(least=least, most=most, help=text))


@dataclass(frozen=True)
class Options:
    """What to draw; a pair is (MIN, MAX), both inclusive. Raises ValueError that starts with the option's name."""

    train: int = _option(120, 0, 10**6, 'number of training images')
    val: int = _option(40, 0, 10**6, 'number of validation images')
    width: tuple[int, int] = _option((640, 960), 32, 65500, 'image width in px')
    height: tuple[int, int] = _option((640, 960), 32, 65500, 'image height in px')
    objects: tuple[int, int] = _option((4, 14), 0, 10**6, 'annotated objects per image')
    size: tuple[int, int] = _option((10, 400), 4, 65500, 'longer side of an object in px, before the border cuts it')
    distractors: tuple[int, int] = _option((8, 20), 0, 10**6, 'unannotated shapes of other kinds per image')
    empty: float = _option(0.05, 0, 1, 'fraction of images without objects')
    seed: int = _option(0, 0, 2**63, 'same seed, same data')

    def __post_init__(self):
        for option in fields(self):
            values, (least, most, _) = np.ravel(getattr(self, option.name)).tolist(), option.metadata.values()
            if not least <= values[0] <= values[-1] <= most:
                order = ', MIN not larger than MAX' if len(values) > 1 else ''
                raise ValueError(f'{option.name}: {values} will not do; give {least} to {most}{order}')
        room = self.largest(self.width[0], self.height[0])
        if self.size[0] > room:
            raise ValueError(f'size: MIN {self.size[0]} is too large for the smallest image; give at most {room:g}')

    def largest(self, width, height):
        """Largest object size (px) in an image of this size: it leaves room for others."""
        return min(self.size[1], 0.6 * min(width, height))


def clip(ring, width, height):
    """Clip a simple polygon, (P, 2) float, maybe concave, to the image.

    Returns:
        shapely MultiPolygon: the parts inside of at least 1 px^2, points rounded to 1/100 px; several where the border
        cuts a concave shape, none where all of it lies outside.
    """
    inside = set_precision(Polygon(ring).intersection(box(0, 0, width, height)), 0.01)
    parts = getattr(inside, 'geoms', [inside])
    return MultiPolygon([part for part in parts if part.geom_type == 'Polygon' and part.area >= 1])


def draw_background(rng, width, height):
    """Cluttered background without any shape.

    Returns:
        (H, W, 3) uint8: noise of many octaves, a gradient, low-contrast lines and blobs, and grain.
    """
    # Octaves are summed at a quarter of the size: cheap in time, and a 100-megapixel image stays in memory.
    w, h = -(-width // 4), -(-height // 4)
    corners = rng.uniform(75, 175) + rng.uniform(-18, 18, 3) + rng.uniform(-40, 40, (2, 2, 3))
    smooth = cv2.resize(corners.astype(np.float32), (w, h))
    for cell, grey, chroma in ((64, 16, 8), (24, 11, 5), (8, 9, 3), (3, 8, 2)):
        shape = (h // cell + 2, w // cell + 2)
        noise = rng.normal(0, grey, (*shape, 1)) + rng.normal(0, chroma, (*shape, 3))
        smooth += cv2.resize(noise.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    image = cv2.resize(np.clip(smooth, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(round(width * height / 9000)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        color = np.clip(image[y, x] + rng.choice([-1, 1]) * rng.uniform(8, 28) + rng.normal(0, 5, 3), 0, 255).tolist()
        length, angle = rng.uniform(8, 80), rng.uniform(0, 180)
        flat = 0.03 if rng.random() < 0.5 else rng.uniform(0.2, 1)  # lines and blobs
        axes = (round(length), max(1, round(length * flat)))
        cv2.ellipse(image, (x, y), axes, angle, 0, 360, color, int(rng.choice([-1, 2])), cv2.LINE_AA)

    grain = np.repeat(rng.normal(0, 5, (256, 256, 1)), 3, axis=2).astype(np.int16)
    grain = np.tile(grain, (1, -(-width // 256), 1))[:, :width]
    for y in range(0, height, 256):
        rows = image[y : y + 256]
        cv2.add(rows, grain[: len(rows)], dst=rows, dtype=cv2.CV_8U)
    return image


def paint(image, rings, hue, rng):
    """Draw one shape, anti-aliased: a textured fill, and an outline lighter or darker than it.

    Args:
        image ((H, W, 3) uint8): changed in place.
        rings (list of (P, 2) float): outer ring and holes, image frame; may reach beyond the image.
        hue (float): degrees.
        rng (np.random.Generator): draws colours and texture.
    """
    span, bright = np.ptp(rings[0], axis=0).max(), rng.random() < 0.5
    value, saturation = rng.uniform(*((0.65, 1) if bright else (0.4, 0.65))), rng.uniform(0.6, 1)
    fill = cv2.cvtColor(np.float32([[[hue % 360, saturation, value]]]), cv2.COLOR_HSV2BGR)[0, 0] * 255
    edge = fill * 0.3 if bright else 255 - (255 - fill) * 0.35
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(0.15, 0.5) * span, rng.uniform(0, 2 * np.pi)
    shade, stripes = rng.uniform(0.05, 0.2), rng.uniform(0, 0.16) if span > 24 else 0

    x0, y0 = np.maximum(np.floor(rings[0].min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(rings[0].max(0)).astype(int), image.shape[1::-1])
    zoom = 4 if span < 160 else 2
    # cv2 puts pixel centres on whole numbers, the image frame on halves.
    points = [np.round(((ring - (x0, y0)) * zoom - 0.5) * 256).astype(np.int32) for ring in rings]
    mask = np.zeros(((y1 - y0) * zoom, (x1 - x0) * zoom), np.uint8)
    cv2.fillPoly(mask, points, 255, shift=8)
    line = np.zeros_like(mask)
    cv2.polylines(line, points, True, 255, max(2, round(2 * zoom * max(0.7, span * 0.04))), shift=8)
    layers = cv2.resize(np.dstack([mask, mask & line]), (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_AREA)
    alpha, outline = np.split(layers / np.float32(255), 2, axis=2)
    along = np.arange(x0, x1) * math.cos(angle) + np.arange(y0, y1)[:, None] * math.sin(angle)
    along -= rings[0].mean(0) @ (math.cos(angle), math.sin(angle))
    light = 1 + shade * 2 * along / span + stripes * np.sin(2 * np.pi * along / period + phase)
    light = (light + rng.normal(0, 0.04, light.shape))[..., None].astype(np.float32)
    patch = image[y0:y1, x0:x1]
    drawn = patch * (1 - alpha) + np.clip(fill * light, 0, 255) * (alpha - outline) + edge * outline
    patch[:] = np.clip(np.round(drawn), 0, 255)


def draw_sizes(rng, count, low, high):
    """Sizes of the objects of one image, (count,) float: the longer side before clipping, px, from low to high."""
    shares = CLOSE_SHARES if rng.random() < CLOSE_PROBABILITY else FAR_SHARES
    bins = np.clip(SIZE_BINS, low, high)
    shares = np.where(bins[:, 0] < bins[:, 1], shares, 0)
    if shares.sum() == 0:  # low and high leave this kind of view no bin of its own
        bins, shares = np.array([[low, high]]), np.ones(1)
    chosen = np.log(bins[rng.choice(len(bins), count, p=shares / shares.sum())])
    return np.exp(rng.uniform(chosen[:, 0], chosen[:, 1]))


def place_shapes(rng, options, width, height, empty):
    """Choose kinds, sizes and places for one image.

    Returns:
        tuple: in drawing order, a list of (kind, rings, MultiPolygon clipped to the image), image frame; and the
        number of objects (int) that found no free place.
    """
    count = 0 if empty else rng.integers(options.objects[0], options.objects[1] + 1)
    sizes = draw_sizes(rng, count, options.size[0], options.largest(width, height))
    todo = list(zip(sizes, rng.choice(CLASSES, count), strict=True))
    count = rng.integers(options.distractors[0], options.distractors[1] + 1)
    sizes = np.exp(rng.uniform(*np.log(np.minimum(DISTRACTOR_SIZE, 0.3 * min(width, height))), count))
    todo += zip(sizes, rng.choice(list(DISTRACTORS), count), strict=True)
    # Roughly from large to small, so that small shapes are rarely hidden and large ones still find a place.
    todo.sort(key=lambda item: -item[0] * math.exp(rng.normal(0, 0.4)))

    centres = rng.uniform(0.15, 0.85, (rng.integers(1, 3), 2)) * (width, height)
    spread = rng.uniform(0.07, 0.11) * min(width, height)
    placed, free, bounds, lost = [], {}, np.full((len(todo), 4), np.nan), 0
    for size, kind in todo:
        for attempt in range(TRIES):
            rotation, stretch = _polar(rng.uniform(0, 360) + np.array([0, 90])), (1, rng.uniform(0.85, 1))
            if kind in OBJECTS:  # a full cluster grows slowly
                centre = rng.normal(centres[rng.integers(len(centres))], spread * (1 + attempt / 10))
            else:
                centre = rng.uniform(0, (width, height))
            rings = [ring * stretch @ rotation for ring in SHAPES[kind]]
            first, last = rings[0].min(0), rings[0].max(0)
            rings = [(ring - (first + last) / 2) * (size / (last - first).max()) + centre for ring in rings]
            outline, clipped = Polygon(rings[0]), clip(rings[0], width, height)
            extent = np.array(clipped.bounds)  # NaN where nothing is inside
            sliver = kind in OBJECTS and (extent[2:] - extent[:2]).min() < min(8, 0.6 * size)
            if clipped.area < MIN_INSIDE * outline.area or sliver:
                continue
            # Exact polygons only where boxes meet: an image may hold thousands of shapes.
            near = (bounds[:, :2] < extent[2:]).all(1) & (bounds[:, 2:] > extent[:2]).all(1)
            left = {i: free[i].difference(outline) for i in np.flatnonzero(near) if placed[i][0] in OBJECTS}
            if all(rest.area >= (1 - MAX_COVER) * placed[i][2].area for i, rest in left.items()):
                free.update(left)
                free[len(placed)], bounds[len(placed)] = clipped, extent
                placed.append((kind, rings, clipped))
                break
        else:
            lost += kind in OBJECTS
    return placed, lost


def make_image(options, split, index):
    """Draw one image: a pure function of its arguments.

    Returns:
        tuple: image (H, W, 3) uint8; a list of annotations, dicts with category_id (from 1), bbox (float xywh, image
        frame), area (px^2) and segmentation (lists of x, y, x, y, ... in the image frame: the outline as drawn and cut
        by the border, parts hidden by later shapes included); and the number of objects (int) that found no place.
    """
    # Three streams: the same background lies under whatever objects are asked for.
    rngs = [np.random.default_rng([options.seed, SPLITS.index(split), index, stream]) for stream in range(3)]
    width, height = (int(rngs[0].integers(low, high + 1)) for low, high in (options.width, options.height))
    # Every (1/empty)-th image: a small split gets its share too.
    empty = math.floor((index + 1) * options.empty + 1e-9) > math.floor(index * options.empty + 1e-9)
    image = draw_background(rngs[0], width, height)
    (placed, lost), annotations = place_shapes(rngs[1], options, width, height, empty), []
    for kind, rings, clipped in placed:
        family = CLASSES.index(kind) if kind in OBJECTS else rngs[2].integers(len(HUES))
        paint(image, rings, rngs[2].normal(HUES[family], HUE_STD), rngs[2])
        if kind in OBJECTS:
            x1, y1, x2, y2 = clipped.bounds
            polygons = [np.round(part.exterior.coords[:-1], 2).ravel().tolist() for part in clipped.geoms]
            bbox = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(dict(category_id=family + 1, bbox=bbox, area=clipped.area, segmentation=polygons))
    return image, annotations, lost


def make_dataset(out_dir, progress=True, **options):
    """Write ``out_dir``/{train,val}/NNNNNN.jpg and ``out_dir``/annotations/{train,val}.json.

    Asking for more images leaves the earlier ones as they are. ``options`` are the fields of :class:`Options`.

    Returns:
        int: how many objects were left out because their image had no free place for them.
    """
    settings, lost = Options(**options), 0
    for split in SPLITS:
        folder, annotation_file = Path(out_dir, split), Path(out_dir, 'annotations', f'{split}.json')
        folder.mkdir(parents=True, exist_ok=True)
        annotation_file.parent.mkdir(exist_ok=True)
        annotation_file.unlink(missing_ok=True)  # written last: where it lies, its images are complete
        images, annotations = [], []
        for index in tqdm(range(getattr(settings, split)), desc=split, unit='image', disable=not progress):
            (image, found, missed), name = make_image(settings, split, index), f'{index:06d}.jpg'
            lost += missed
            if not cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 92]):
                raise OSError(f'cannot write {folder / name}: is the disk full, or the folder read-only?')
            images.append(dict(id=index + 1, file_name=name, width=image.shape[1], height=image.shape[0]))
            for found_one in found:
                annotations.append(dict(id=len(annotations) + 1, image_id=index + 1, **found_one, iscrowd=0))
        data = dict(info=asdict(settings), images=images, annotations=annotations)
        data['categories'] = [dict(id=i, name=name, supercategory='shape') for i, name in enumerate(CLASSES, 1)]
        annotation_file.write_text(json.dumps(data))
    return lost


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(description='Draw a detection data set of shapes in COCO format, with polygons.')
    parser.add_argument('out_dir', metavar='OUT_DIR', type=Path, help='folder to write to; made if missing')
    for option in fields(Options):
        values, text = np.ravel(option.default).tolist(), option.metadata['help']
        many = dict(nargs=2, metavar=('MIN', 'MAX')) if len(values) > 1 else dict(metavar='N')
        text = f'{text} (default: {" ".join(map(str, values))})'
        parser.add_argument(f'--{option.name}', type=type(values[0]), default=option.default, help=text, **many)
    args = vars(parser.parse_args(argv))
    try:
        Options(**{name: value for name, value in args.items() if name != 'out_dir'})
    except ValueError as error:
        parser.error(f'--{error}')
    lost = make_dataset(**args)
    if lost:
        print(f'{lost} objects found no free place: ask for fewer (--objects), smaller ones (--size) or larger images')


if __name__ == '__main__':
    main()
