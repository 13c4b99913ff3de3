"""The projection MLP between the ViT's tokens and the contrastive space."""

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import nn

from .vit import trunc_normal_


@MODELS.register_module()
class ConMIMProjector(BaseModule):
    """Linear-BN-ReLU twice, then Linear-BN without affine; no linear biases.

    The batch norms take their statistics over all tokens of all images, class token included, as in
    the original implementation. For statistics over all processes set ``sync_bn='torch'`` in the
    config.

    Args:
        in_channels: Width C of the ViT's tokens.
        hid_channels: Hidden width.
        out_channels: Width D of the contrastive space.
        init_cfg: As in MMEngine.
    """

    def __init__(self,
                 in_channels: int,
                 hid_channels: int = 4096,
                 out_channels: int = 256,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hid_channels, bias=False),
            nn.BatchNorm1d(hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, hid_channels, bias=False),
            nn.BatchNorm1d(hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels, bias=False),
            nn.BatchNorm1d(out_channels, affine=False),
        )

    def init_weights(self) -> None:
        """Initialises the linear layers like the ViT's."""
        super().init_weights()
        if self.init_cfg:
            return
        for module in self.layers:
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Projects ``(B, N, C)`` tokens to ``(B, N, D)``."""
        return self.layers(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
