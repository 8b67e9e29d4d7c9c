"""COCO files box by box."""


def content_of(images, classes=('thing',)):
    """From (width, height, [bbox xywh]) per image; all of the first class."""
    content = dict(images=[], annotations=[], categories=[dict(id=i, name=name) for i, name in enumerate(classes, 1)])
    for i, (width, height, boxes) in enumerate(images):
        content['images'].append(dict(id=i, file_name=f'{i}.png', width=width, height=height))
        for x, y, w, h in boxes:
            number = len(content['annotations'])
            content['annotations'].append(
                dict(id=number, image_id=i, category_id=1, iscrowd=0, bbox=[x, y, w, h], area=w * h)
            )
    return content
