"""What decoders share: queries for the holes, and visible tokens that know where they are."""

from abc import abstractmethod

import torch
from mmengine.model import BaseModule
from torch import nn

from ..layers.embedding import init_linear, sincos_pos_embed, trunc_normal_
from ..layers.visible import take


class HoleDecoder(BaseModule):
    """Base of the decoders: fills the holes of an image from its visible tokens.

    A subclass has :meth:`decode`; whoever wants other queries overrides :meth:`forward`, which is
    all that :class:`ConMIM` calls.

    Args:
        embed_dims: Width C of the backbone's tokens, divisible by 4.
        init_cfg: As in MMEngine.
    """

    def __init__(self, embed_dims: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.embed_dims = embed_dims
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))

    def init_weights(self) -> None:
        """Initialises linear layers and the mask token like the ViT's, then by ``init_cfg``."""
        init_linear(self)
        trunc_normal_(self.mask_token)
        super().init_weights()

    def forward(self, visible: torch.Tensor, shown: torch.Tensor, holes: torch.Tensor,
                grid: tuple[int, int]) -> torch.Tensor:
        """Tokens of the holes that are asked for.

        Args:
            visible: ``(B, 1 + V, C)``, of :meth:`ConMIMViT.forward_visible`.
            shown: ``(B, V)`` int64, the positions of the visible patches.
            holes: ``(B, M)`` int64, the positions asked for, of hidden patches.
            grid: Height and width of the patch grid, in patches.

        Returns:
            ``(B, M, C)``.
        """
        positions = sincos_pos_embed(grid, self.embed_dims, visible.device)
        context = torch.cat([visible[:, :1], visible[:, 1:] + take(positions, shown)], dim=1)
        return self.decode(self.mask_token + take(positions, holes), context)

    @abstractmethod
    def decode(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``(B, M, C)`` of queries alike and ``(B, 1 + V, C)`` of visible tokens, all placed."""
