"""From a sample's arrays to what the model takes."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample


@TRANSFORMS.register_module()
class PackConMIMInputs(BaseTransform):
    """Packs views and mask for the model.

    Returns a dict of ``inputs``: ``student_view`` and ``teacher_view`` ``(C, h, w)``, of the type
    that they have, and ``mask`` ``(L,)`` bool, True = masked, or ``(K, L)`` of K masks; and
    ``data_samples`` with the image's path and, as ``skipped``, path and reason of each unreadable
    image it stands in for. In the place of ``teacher_view`` there may be ``perturbation``,
    ``(11,)`` float32, from which the data preprocessor makes it.
    """

    def transform(self, results: dict) -> dict:
        """Packs a sample."""
        inputs = dict(student_view=_to_channels_first(results['student_view']))
        if 'perturbation' in results:
            inputs['perturbation'] = torch.from_numpy(results['perturbation'])
        else:
            inputs['teacher_view'] = _to_channels_first(results['teacher_view'])
        mask = results['mask']
        inputs['mask'] = torch.from_numpy(mask.reshape(*mask.shape[:-2], -1))
        sample = DataSample(metainfo=dict(
            img_path=results.get('img_path'), skipped=results.get('skipped', [])))
        return dict(inputs=inputs, data_samples=sample)


def _to_channels_first(view: np.ndarray) -> torch.Tensor:
    view = np.ascontiguousarray(view)
    channels = np.empty((view.shape[2], *view.shape[:2]), dtype=view.dtype)
    cv2.split(view, list(channels))  # NumPy takes ten times as long
    return torch.from_numpy(channels)
