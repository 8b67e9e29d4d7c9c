"""CocoMetric: mmdet's, which leaves out what is detected in regions to be ignored."""

from __future__ import annotations

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.logging import print_log

from ..datasets.ignored_regions import KEY, as_region, ignored_ids
from ..registry import METRICS


@METRICS.register_module()
class CocoMetric(MMDetCocoMetric):
    """mmdet's ``CocoMetric``, for data sets whose ``metainfo`` has ``ignored_categories``, too.

    Annotations of these are to every class what COCO's crowds are to theirs: a detection that lies inside, by as much
    of its own area as the IoU threshold asks for, counts as neither right nor wrong, unless it matches an object.
    Annotations may be numbered from 0, which COCO's evaluation takes for no annotation.

    Raises:
        ValueError: While evaluating, if ``ignored_categories`` are not in the file, or classes as well.
    """

    prepared = False

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures of all images, see ``CocoMetric``."""
        if self._coco_api is not None and not (self.prepared or self.format_only):
            self.prepared = True
            if self.dataset_meta.get(KEY):
                n_regions = spread_regions(self._coco_api, self.dataset_meta)
                names = ', '.join(self.dataset_meta[KEY])
                print_log(f'{n_regions} annotations of {names} are ignored regions: nothing in them counts', 'current')
            annotations = self._coco_api.dataset['annotations']
            if any(one['id'] == 0 for one in annotations):
                for n, one in enumerate(annotations):
                    one['id'] = n + 1
            self._coco_api.createIndex()
            self._coco_api.img_ann_map, self._coco_api.cat_img_map = self._coco_api.imgToAnns, self._coco_api.catToImgs
        return super().compute_metrics(results)


def spread_regions(coco: COCO, metainfo: dict) -> int:
    """Replace every annotation of an ignored category by a crowd of each class.

    Args:
        coco: An annotation file, whose content is changed, not its index.
        metainfo: ``classes`` and ``ignored_categories``.

    Returns:
        How many annotations were replaced.

    Raises:
        ValueError: If a category is not in the file, or a class as well.
    """
    ignored = ignored_ids(metainfo[KEY], metainfo['classes'], coco.dataset['categories'], 'the annotation file')
    class_ids = [one['id'] for one in coco.dataset['categories'] if one['name'] in metainfo['classes']]
    regions = [one for one in coco.dataset['annotations'] if one['category_id'] in ignored]
    kept = [one for one in coco.dataset['annotations'] if one['category_id'] not in ignored]
    first = 1 + max((one['id'] for one in coco.dataset['annotations']), default=0)
    for n, (region, class_id) in enumerate((region, class_id) for region in regions for class_id in class_ids):
        area = float(np.prod(region['bbox'][2:]))
        kept.append(dict(as_region(region, class_id), id=first + n, area=region.get('area', area)))
    coco.dataset['annotations'] = kept
    return len(regions)
