"""COCO annotations of scenes.

Masks are uncompressed run-length codes: exact to the pixel (a polygon cannot describe the hole of
a key), and pycocotools and mmdet read them without an encoder being needed here.
"""

from collections.abc import Sequence

import numpy as np

from .compose import Scene
from .shapes import CLASS_NAMES

_IDS_PER_IMAGE = 100  # annotation ids of image n start at 100 n: independent of other images


def rle(mask: np.ndarray) -> dict:
    """Uncompressed COCO run-length code of a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        ``size`` [H, W] and ``counts``: run lengths down the columns, beginning with the zeros.
    """
    flat = np.asarray(mask, bool).ravel(order='F')
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {'size': list(mask.shape), 'counts': [0, *runs] if flat[0] else runs}


def image_entry(image_id: int, file_name: str, size: int) -> dict:
    """The ``images`` entry of a square picture of side ``size``."""
    return {
        'id': image_id,
        'file_name': file_name,
        'width': size,
        'height': size,
        'license': 1,
    }


def annotations(image_id: int, scene: Scene) -> list[dict]:
    """One annotation for the visible part of each object of a scene."""
    entries = []
    for k, label in enumerate(scene.labels, start=1):
        mask = scene.instances == k
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        x, y = int(columns[0]), int(rows[0])
        entries.append(
            {
                'id': image_id * _IDS_PER_IMAGE + k,
                'image_id': image_id,
                'category_id': label + 1,
                'iscrowd': 0,
                'area': int(mask.sum()),
                'bbox': [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
                'segmentation': rle(mask),
            }
        )
    return entries


def document(images: Sequence[dict], entries: Sequence[dict], version: str) -> dict:
    """The whole JSON document of one split."""
    return {
        'info': {
            'description': 'Generated scenes of conmim_mm',
            'version': version,
            'contributor': 'conmim_mm',
            'url': '',
        },
        'licenses': [{'id': 1, 'name': 'Generated; no third-party material', 'url': ''}],
        'images': list(images),
        'annotations': list(entries),
        'categories': [
            {'id': k, 'name': name, 'supercategory': 'object'}
            for k, name in enumerate(CLASS_NAMES, start=1)
        ],
    }
