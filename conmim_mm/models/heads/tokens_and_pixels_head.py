"""Tokens and pixels as targets, side by side."""

import torch
from mmpretrain.registry import MODELS

from ...errors import InputError
from .conmim_head import ConMIMHead


@MODELS.register_module()
class TokensAndPixelsHead(ConMIMHead):
    """Finds each hole twice: by the teacher's tokens, and by the patches' own pixels.

    For :class:`TokensAndPixelsTeacher`. Ours: the teacher's tokens drift, in a long run to what
    serves the look-up alone; pixels stay (docs/results.md).

    Args:
        num_pixels: How many of the last channels are pixels: those of a patch, times its bands.
        pixel_weight: Of the loss by pixels; that by tokens has 1.
        settings: As of :class:`ConMIMHead`.

    Raises:
        InputError: No pixels, or a negative weight.
    """

    def __init__(self, num_pixels: int, pixel_weight: float = 1., **settings: object) -> None:
        super().__init__(**settings)
        if num_pixels < 1 or pixel_weight < 0:
            raise InputError('num_pixels must be at least 1 and pixel_weight at least 0, but are '
                             f'{num_pixels} and {pixel_weight}')
        self.num_pixels = num_pixels
        self.pixel_weight = pixel_weight

    def of_patches(self, tokens: torch.Tensor, num_patches: int) -> torch.Tensor:
        """As in :class:`ConMIMHead`, without the pixels."""
        return super().of_patches(tokens, num_patches)[..., :-self.num_pixels]

    def loss(self, student: torch.Tensor, teacher: torch.Tensor,
             mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """The weighted mean of both losses, so that guessing has ln L, and what is logged.

        Arguments, and what is logged of the tokens, as in :class:`ConMIMHead`.
        """
        pixels = (tokens[:, -mask.shape[1]:, -self.num_pixels:] for tokens in (student, teacher))
        by_pixels = self.loss_module(*self.centred(*pixels, mask), mask)
        by_tokens = super().loss(student, teacher, mask)
        weight = self.pixel_weight / (1 + self.pixel_weight)
        return by_tokens | dict(loss=by_tokens['loss'].lerp(by_pixels, weight))
