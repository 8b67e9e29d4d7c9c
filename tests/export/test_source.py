"""Exported objects and categories lead back to the annotation files that they are of."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO


def test_objects_lead_back_to_the_annotations_they_are_of(export):
    folder, _, _ = export()
    content = json.loads((folder / 'annotations.json').read_text())
    source = COCO(f'{export.data["data_root"]}annotations.json')
    images = {image['id']: image for image in content['images']}
    assert content['categories'] == source.dataset['categories']
    seen = Counter()
    for annotation in content['annotations']:
        image, original = images[annotation['image_id']], source.anns[annotation['source_id']]
        assert original['image_id'] == image['source_id']
        assert source.imgs[image['source_id']]['file_name'] == image['source']
        # Back through the chip: the part of the original that the chip shows.
        (x1, y1, x2, y2), zoom = image['chip'], np.tile(image['scale_factor'], 2)
        x, y, w, h = annotation['bbox']
        back = np.array([x, y, x + w, y + h]) / zoom + [x1, y1, x1, y1]
        ox, oy, ow, oh = original['bbox']
        shown = [max(ox, x1), max(oy, y1), min(ox + ow, x2), min(oy + oh, y2)]
        assert np.abs(back - shown).max() < 0.01
        seen[annotation['source_id']] += 1
    assert 77 not in seen
    assert seen[78] >= 1
    assert set(seen) == set(source.anns) - {77}, 'every object is in some chip'


def test_regions_of_ignored_categories_are_crowds_that_lead_back(export):
    metainfo = dict(classes=('thing',), ignored_categories=('other',))
    folder, summary, _ = export(data=dict(export.data, metainfo=metainfo), invalid='drop')
    source = COCO(f'{export.data["data_root"]}annotations.json')
    content = json.loads((folder / 'annotations.json').read_text())
    assert content['categories'] == [dict(id=3, name='thing')]
    regions = [a for a in content['annotations'] if source.anns[a['source_id']]['category_id'] == 4]
    assert len(regions) > 3
    assert all(a['ignored'] and a['iscrowd'] and a['category_id'] == 3 for a in regions)


def test_repeated_and_joined_data_sets(export, write_coco, images, messages):
    joined = dict(type='ConcatDataset', datasets=[export.data, write_coco(images[:2], 'second')])
    folder, summary, _ = export(data=dict(type='RepeatDataset', times=2, dataset=joined))
    assert summary['counts']['images'] == 12
    content = json.loads((folder / 'annotations.json').read_text())
    assert len({image['file_name'] for image in content['images']}) == len(content['images'])
    assert content['categories'] == [dict(id=3, name='thing'), dict(id=4, name='other')]
    assert all('source_id' in annotation for annotation in content['annotations'])
    other = write_coco([(100, 80, [dict(bbox=[5, 5, 40, 40], category_id=4)])], 'third')
    path = Path(other['data_root']) / 'annotations.json'
    path.write_text(path.read_text().replace('"id": 4, "name"', '"id": 9, "name"').replace('_id": 4', '_id": 9'))
    folder, _, _ = export('joined', data=dict(type='ConcatDataset', datasets=[export.data, other]))
    assert any('have other ids for the same categories: they are 1, 2' in line for line in messages())
    content = json.loads((folder / 'annotations.json').read_text())
    assert content['categories'] == [dict(id=1, name='thing'), dict(id=2, name='other')]
    assert [a['category_id'] for a in content['annotations']][-1] == 2
