"""Some images, and their chips exported."""

import pytest

from mmsniper.datasets import ChipDataset
from mmsniper.export import ExportSettings, cut_only, export_chips


@pytest.fixture
def images(some_images):
    """With an annotation that mmdet leaves out before others, a polygon of two parts, an object in the crowd."""
    width, height, objects = some_images[0]
    some_images[3][2].append(dict(bbox=[40, 30, 20, 20]))
    none = dict(bbox=[10, 10, 0.5, 20], id=77)
    parts = [[20, 20, 60, 20, 60, 60], [70, 70, 90, 70, 90, 90]]
    two = dict(bbox=[20, 20, 70, 70], id=78, segmentation=parts, category_id=4)
    return [(width, height, [none, *objects, two]), *some_images[1:]]


@pytest.fixture
def export(write_coco, images, planner_cfg, pipeline, tmp_path):
    """Exports; returns the folder, the summary and the data set that was exported."""
    data = write_coco(images)

    def call(name='out', workers=1, data=data, pipeline=pipeline, chips=None, **settings):
        settings = ExportSettings(**{'image_format': 'png', **settings})
        cut = cut_only(pipeline, settings.augment)
        dataset = ChipDataset(data, planner_cfg, cut, **(chips or {}))
        return tmp_path / name, export_chips(dataset, tmp_path / name, settings, workers), dataset

    call.data = data
    return call
