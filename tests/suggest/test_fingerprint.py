"""What is counted in a data set, and what is refused."""

import numpy as np
import pytest
from suggest_data import content_of

from mmsniper.suggest import read_fingerprint, summary


@pytest.fixture
def file(write):
    """Two images: three objects, one of them overlapping, a crowd, DontCare, an empty box; and nothing."""
    boxes = [[0, 0, 40, 10], [0, 0, 40, 20], [60, 60, 20, 20], [0, 0, 90, 90], [50, 0, 10, 10], [5, 5, 0, 9]]
    content = content_of([(100, 100, boxes), (300, 200, [])], ('thing', 'Dont-Care', 'rare'))
    labels = [1, 1, 3, 1, 2, 1]
    for annotation, label in zip(content['annotations'], labels, strict=True):
        annotation['category_id'] = label
    content['annotations'][3]['iscrowd'] = 1
    return write(content)


def test_objects_regions_and_what_is_left_out(file):
    data = read_fingerprint(file)
    assert data.classes == ('thing', 'rare')
    assert data.region_classes == ('Dont-Care',)
    assert data.n_regions == 2  # the crowd and the region
    assert data.left_out == {'a side under 1 px or no area': 1}
    assert data.table.start.tolist() == [0, 3, 3]
    assert data.labels.tolist() == [0, 0, 1]


def test_numbers(file):
    of = summary(read_fingerprint(file), chip_size=32)
    assert (of['images'], of['images_without_objects'], of['objects']) == (2, 1, 3)
    assert of['object_size']['min'] == 20  # 40 x 10 and 20 x 20
    assert of['object_size']['max'] == pytest.approx(np.sqrt(800), abs=1e-3)
    assert of['aspect']['max'] == 4
    assert of['crowded'] == pytest.approx(2 / 3)  # IoU 0.5
    assert of['longer_than_chip'] == pytest.approx(2 / 3)
    assert of['per_megapixel'] == pytest.approx(3 / 0.07)
    assert of['classes'] == {'thing': 2, 'rare': 1}


def test_rare_classes_weigh_more_per_object(file):
    weights = read_fingerprint(file).weights()
    assert weights.sum() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(np.sqrt(2))


def test_no_object_is_an_error(write):
    with pytest.raises(ValueError, match=r'has no objects to choose scales for \(1 images, 0 ignored regions, 1 annot'):
        read_fingerprint(write(content_of([(100, 100, [[5, 5, 0, 9]])])))


def test_broken_files_are_refused_with_their_remedy(write):
    content = content_of([(100, 100, [[5, 5, 10, 9]])])
    del content['images'][0]['width']
    with pytest.raises(ValueError, match=r'1 images have no width .*add it'):
        read_fingerprint(write(content))
    with pytest.raises(FileNotFoundError, match='is no file; name the annotations'):
        read_fingerprint('nowhere.json')
