"""The projection MLP between the ViT's tokens and the contrastive space."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import nn

from ...checkpoint.settings import component
from ...errors import InputError
from ..layers.embedding import init_linear


@MODELS.register_module()
class ConMIMProjector(BaseModule):
    """Linear-BN-ReLU twice, then Linear-BN without affine; no linear biases.

    The batch norms take their statistics over all tokens of all images, class token included, as in
    the original implementation.

    Args:
        in_channels: Width C of the ViT's tokens.
        hid_channels: Hidden width.
        out_channels: Width D of the contrastive space.
        norm_cfg: Type of the batch norms: ``BN1d``, with statistics of each process by itself as in
            the original implementation, or ``CrossProcessBN``, with statistics of all of them.
        init_cfg: As in MMEngine.

    Raises:
        InputError: Another type of norm.
    """

    def __init__(self,
                 in_channels: int,
                 hid_channels: int = 4096,
                 out_channels: int = 256,
                 norm_cfg: dict = dict(type='BN1d'),  # noqa: B006  (read only)
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.out_channels = out_channels
        norm = component(norm_cfg, MODELS)
        if norm is None or not issubclass(norm, nn.BatchNorm1d):
            raise InputError(f"norm_cfg must name BN1d or CrossProcessBN, but is {norm_cfg}")
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hid_channels, bias=False),
            norm(hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, hid_channels, bias=False),
            norm(hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels, bias=False),
            norm(out_channels, affine=False),
        )

    def init_weights(self) -> None:
        """Initialises the linear layers like the ViT's."""
        super().init_weights()
        if not self.init_cfg:
            init_linear(self.layers)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Projects ``(B, N, C)`` tokens to ``(B, N, D)``."""
        return self.layers(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
