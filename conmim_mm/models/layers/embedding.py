"""Patches to tokens, absolute position embeddings, and the weights they start with."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ...errors import InputError
from .block import Block
from .rel_pos_bias import is_free
from .tensor_cache import keep_tensors

INIT_STD = 0.02


class PatchEmbed(nn.Module):
    """Cuts ``(B, in_channels, H, W)`` into patches and embeds each: ``(B, L, C)``, row by row.

    Raises:
        InputError: From :meth:`forward`, images of other channels.
    """

    def __init__(self, patch_size: int, in_channels: int, embed_dims: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[1] != self.proj.in_channels:
            raise InputError(f'the images have {images.shape[1]} channels, and the backbone '
                             f'{self.proj.in_channels}: set its in_channels in the config')
        return self.proj(images).flatten(2).transpose(1, 2)


@keep_tensors(maxsize=16)
def sincos_pos_embed(grid: tuple[int, int], embed_dims: int,
                     device: torch.device | None = None) -> torch.Tensor:
    """Fixed sine-cosine embedding of a patch grid (MAE, arXiv 2111.06377, section 3).

    Args:
        grid: Height and width, in patches.
        embed_dims: C, divisible by 4: half of it tells the row, half the column.
        device: Where to put it.

    Returns:
        ``(1, L, C)``, row by row.

    Raises:
        InputError: Another width.
    """
    if embed_dims % 4:
        raise InputError(f'a sine-cosine embedding needs a width divisible by 4, not {embed_dims}')
    rates = 10000.**-(torch.arange(embed_dims // 4, dtype=torch.float64) / (embed_dims // 4))
    rows, columns = (torch.arange(side, dtype=torch.float64)[:, None] * rates for side in grid)
    rows = torch.cat([rows.sin(), rows.cos()], dim=1)[:, None].expand(-1, grid[1], -1)
    columns = torch.cat([columns.sin(), columns.cos()], dim=1).expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1).unsqueeze(0).float().to(device)


def resize_pos_embed(pos_embed: torch.Tensor, grid: tuple[int, int],
                     new_grid: tuple[int, int]) -> torch.Tensor:
    """A position embedding for another grid: patches bicubic, the class token's as it is.

    Args:
        pos_embed: ``(1, 1 + L, C)``.
        grid: Height and width it is for, in patches.
        new_grid: Height and width wanted, in patches.

    Returns:
        ``(1, 1 + new L, C)``; the embedding itself where the grids are equal.
    """
    if not is_free(new_grid) and grid == new_grid:
        return pos_embed
    class_token, patches = pos_embed[:, :1], pos_embed[:, 1:]
    patches = patches.transpose(1, 2).unflatten(2, grid)
    patches = F.interpolate(patches.float(), new_grid, mode='bicubic', align_corners=False)
    return torch.cat([class_token, patches.to(pos_embed.dtype).flatten(2).transpose(1, 2)], dim=1)


def infer_pos_embed_grid(num_patches: int, likely: tuple[int, int] | None = None
                         ) -> tuple[int, int] | None:
    """The grid of so many patches: the likely one if it fits, or a square one; None for neither."""
    if likely and math.prod(likely) == num_patches:
        return likely
    side = math.isqrt(num_patches)
    return (side, side) if side * side == num_patches else None


def trunc_normal_(tensor: torch.Tensor) -> torch.Tensor:
    """Normal of std 0.02 cut at one std, in place; the original's initialisation."""
    return nn.init.trunc_normal_(tensor, std=INIT_STD, a=-INIT_STD, b=INIT_STD)


def init_linear(module: nn.Module) -> None:
    """Gives the linear layers and convolutions in a module the original's initialisation."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            trunc_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def init_as_original(vit: nn.Module, tokens: list[nn.Parameter], blocks: list[Block]) -> None:
    """Gives a ViT the weights that the original implementation starts with.

    Args:
        vit: The backbone.
        tokens: Its learnt tokens and position embedding.
        blocks: Its blocks, first to last.
    """
    init_linear(vit)
    for token in tokens:
        trunc_normal_(token)
    with torch.no_grad():
        for depth, block in enumerate(blocks, start=1):
            block.attn.proj.weight /= math.sqrt(2 * depth)
            block.mlp.fc2.weight /= math.sqrt(2 * depth)
