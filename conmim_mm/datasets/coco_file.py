"""Images and instances of an annotation file in COCO's format, whoever wrote it."""

import logging
import os
from collections import defaultdict

from mmengine.dataset import BaseDataset
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmpretrain.registry import DATASETS

from ..errors import InputError
from .class_names import some_of
from .coco_annotations import NO_BOX, complete_annotation, read_coco
from .image_formats.image_size import upright_size

MAX_SHARE = 0.1  # of annotations that cannot be used
NO_CATEGORY = 'has a category that the file does not list'
STRANGE = 'belongs to an image that the file does not list'
OUTSIDE = 'lies outside of its image: bbox is [x, y, width, height], in pixels'
THIN = 'is thinner than a pixel: bbox is [x, y, width, height], in pixels'
REACHES_OUT = 'reaches out of its image: bbox is [x, y, width, height], in pixels'


@DATASETS.register_module()
class CocoFile(BaseDataset):
    """mmdetection's ``CocoDataset`` for files that leave something out or order it otherwise.

    The samples are the same. What other tools leave out is filled in (see
    :func:`complete_annotation`; an image's ``width`` and ``height`` from its header). What cannot
    be used, a box outside of its image or without a mask where masks are learnt, is left out with a
    warning, or ends the run before its first step where it is more than a tenth. A label is the
    place of the category's name in ``metainfo.classes``, whatever the file's order; by default
    these are its categories.

    Args:
        ann_file: The file, relative to ``data_root``.
        backend_args: Where the file is stored, as in mmdetection; by default here.
        return_classes: Give each sample the classes as ``text``, as mmdetection does.
        proposal_file: Must be None; mmdetection's data sets can read proposals.
        **kwargs: As in :class:`mmengine.dataset.BaseDataset`; ``data_prefix`` has the folder of the
            images as ``img``, and ``filter_cfg`` may have ``filter_empty_gt`` and ``min_size``
            (pixels).

    Raises:
        InputError: As :func:`read_coco`, proposals, a category or too much else that does not fit.
    """

    def __init__(self, ann_file: str, backend_args: dict | None = None,
                 return_classes: bool = False, proposal_file: None = None, **kwargs) -> None:
        if proposal_file is not None:
            raise InputError('CocoFile reads no proposal_file; mmdet.CocoDataset does')
        self.backend_args, self.return_classes = backend_args, return_classes
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict per image: ``img_id``, ``img_path``, ``height``, ``width``, ``instances``."""
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            content = read_coco(path)
        labels = self._labels(content['categories'])
        images = {image['id']: self._image(image) for image in content['images']}
        known = {category['id'] for category in content['categories']}
        masks = any(getattr(step, 'with_mask', False) for step in self.pipeline.transforms)
        unfit = defaultdict(list)
        for entry in content['annotations']:
            if entry['category_id'] not in known:
                unfit[NO_CATEGORY].append(entry['id'])
            label, image = labels.get(entry['category_id']), images.get(entry['image_id'])
            if label is None or entry.get('ignore'):
                continue
            lack = complete_annotation(entry, masks)
            if lack == NO_BOX:
                raise InputError(f'{self.ann_file}: annotation {entry["id"]} {lack}')
            if lack:
                unfit[lack].append(entry['id'])
            if image is None:
                unfit[STRANGE].append(entry['id'])
                continue
            image['annotated'] = True
            if reason := why_not_inside(entry['bbox'], image['width'], image['height']):
                unfit[reason].append(entry['id'])
            if reason in (None, REACHES_OUT):
                image['instances'].append(_instance(entry, label))
        self._report(unfit, len(content['annotations']))
        return list(images.values())

    def filter_data(self) -> list[dict]:
        """Without small images and those that have no annotation, where training asks for it."""
        wanted = {} if self.test_mode else self.filter_cfg or {}
        return [image for image in self.data_list
                if (image.pop('annotated') or not wanted.get('filter_empty_gt'))
                and min(image['width'], image['height']) >= wanted.get('min_size', 0)]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of an image's instances."""
        return [one['bbox_label'] for one in self.get_data_info(idx)['instances']]

    def _labels(self, categories: list[dict]) -> dict[int, int]:
        names = [category['name'] for category in categories]
        classes = list(self._metainfo.setdefault('classes', tuple(names)))
        missing = [name for name in classes if name not in names]
        others = [name for name in names if name not in classes]
        # a file to judge by may know only the categories that it has instances of
        if missing and (others or not self.test_mode):
            raise InputError(f'{self.ann_file} has no category {some_of(missing)}; it has '
                             f'{some_of(names)}: spell metainfo.classes as it does')
        return {category['id']: classes.index(category['name']) for category in categories
                if category['name'] in classes}

    def _image(self, image: dict) -> dict:
        folder = self.data_prefix.get('img') or self.data_prefix.get('img_path') or ''
        path = os.path.join(folder, image['file_name'])
        width, height = image.get('width'), image.get('height')
        if not (width and height):
            width, height = upright_size(path)
        classes = dict(text=self._metainfo['classes'], custom_entities=True)
        return dict(img_id=image['id'], img_path=path, height=height, width=width, instances=[],
                    annotated=False, **(classes if self.return_classes else {}))

    def _report(self, unfit: dict[str, list[int]], count: int) -> None:
        for reason, ids in unfit.items():
            others = f' (and {len(ids) - 1} others)' if len(ids) > 1 else ''
            text = f'{self.ann_file}: annotation {ids[0]}{others} {reason}'
            if reason != REACHES_OUT and len(ids) > MAX_SHARE * count:
                raise InputError(text)
            print_log(text if reason == REACHES_OUT else f'{text}. Left out', logger='current',
                      level=logging.WARNING)


def why_not_inside(box: list[float], width: int, height: int) -> str | None:
    """What is wrong with a box's place, in words.

    Args:
        box: ``[x, y, width, height]``, in pixels.
        width: Of the image.
        height: Likewise.
    """
    x, y, box_width, box_height = box
    if box_width < 1 or box_height < 1:
        return THIN
    if not (0 < min(x + box_width, width) - max(x, 0)
            and 0 < min(y + box_height, height) - max(y, 0)):
        return OUTSIDE
    within = x > -1 and y > -1 and x + box_width < width + 1 and y + box_height < height + 1
    return None if within else REACHES_OUT


def _instance(entry: dict, label: int) -> dict:
    x, y, width, height = entry['bbox']
    instance = dict(bbox=[x, y, x + width, y + height], bbox_label=label,
                    ignore_flag=entry['iscrowd'])
    return instance | (dict(mask=entry['segmentation']) if entry.get('segmentation') else {})
