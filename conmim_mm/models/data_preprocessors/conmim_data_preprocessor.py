"""Moves a batch to the device and normalises it there."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.registry import MODELS

from ...datasets.transforms.perturbation import perturb_batch, unchanged
from ...errors import InputError

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class ConMIMDataPreprocessor(BaseDataPreprocessor):
    """Both views travel as uint8 and are normalised on the device, or the teacher's is made there.

    Views of other types travel as they are.

    Args:
        mean: Mean per channel, in grey levels 0-255; None to leave images as they are.
        std: Standard deviation per channel, in grey levels; None with ``mean`` None.
        to_rgb: The images come as BGR, as OpenMMLab's own loaders give them.
        non_blocking: As in MMEngine.
        shown_bands: Numbers from 1 of the channels that pictures show as red, green and blue, or of
            the one that they show as grey; by default the first three, or the first of fewer.

    Raises:
        InputError: ``shown_bands`` that are not one or three of the channels.
    """

    def __init__(self,
                 mean: tuple[float, ...] | None = IMAGENET_MEAN,
                 std: tuple[float, ...] | None = IMAGENET_STD,
                 to_rgb: bool = False,
                 non_blocking: bool = True,
                 shown_bands: Sequence[int] | int | None = None) -> None:
        super().__init__(non_blocking)
        if (mean is None) != (std is None):
            raise ValueError('give both mean and std, or neither')
        self.to_rgb = to_rgb
        self.normalises = mean is not None
        if mean is not None and std is not None:
            self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
            self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        bands = (shown_bands, ) if isinstance(shown_bands, int) else tuple(shown_bands or ())
        most = len(self.mean) if self.normalises else max(bands, default=0)
        if bands and (len(bands) not in (1, 3) or not all(1 <= band <= most for band in bands)):
            raise InputError(f'shown_bands (--show-bands) must be one or three of the channels 1 '
                             f'to {most}, but are {" ".join(map(str, bands))}')
        self.shown_bands = bands

    def forward(self, data: dict, training: bool = False) -> dict:
        """Casts and normalises.

        Args:
            data: A collated batch: ``inputs`` is either images ``(B, C, H, W)`` (or a list of
                ``(C, H, W)`` of one size), or a dict that holds such images under ``student_view``
                and ``teacher_view`` beside the ``mask``; with ``perturbation``, ``(B, 11)``, in the
                place of ``teacher_view``, that view is made here (:func:`perturb_batch`).
                ``data_samples`` is passed on.
            training: Not used; MMEngine gives it.

        Returns:
            The same dict, on the model's device, images float32.
        """
        data = self.cast_data(data)
        inputs = data['inputs']
        if isinstance(inputs, dict):
            inputs = self._prepare_views(inputs)
        else:
            inputs = self.normalise(self._to_rgb_levels(
                torch.stack(inputs) if isinstance(inputs, list | tuple) else inputs))
        return dict(inputs=inputs, data_samples=data.get('data_samples'))

    def _prepare_views(self, inputs: dict) -> dict:
        views = {key: self._to_rgb_levels(value) for key, value in inputs.items()
                 if key.endswith('_view')}
        rest = {key: value for key, value in inputs.items() if key not in views}
        if 'perturbation' in rest:
            has_fractions = inputs['student_view'].is_floating_point()
            views['teacher_view'] = perturb_batch(
                views['student_view'], rest.pop('perturbation'),
                cut=unchanged if has_fractions else torch.floor)
        return {key: self.normalise(view) for key, view in views.items()} | rest

    def _to_rgb_levels(self, images: torch.Tensor) -> torch.Tensor:
        images = images.float()
        return images.flip(1) if self.to_rgb else images

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises ``(B, C, H, W)`` float in grey levels.

        Raises:
            InputError: There are means of another number of channels.
        """
        if not self.normalises:
            return images
        if images.shape[1] != len(self.mean):
            raise InputError(f'the images have {images.shape[1]} channels, and the data '
                             f'preprocessor the means of {len(self.mean)}')
        return (images - self.mean) / self.std
