"""Patch tokens as colours: their three principal components as red, green and blue."""

import torch

from ..models.backbones.conmim_vit import ConMIMViT
from ..utils.inspection import inspection

TAIL = 0.02  # of the values at either end, so that single outliers do not grey out the rest


def patch_tokens(backbone: ConMIMViT, images: torch.Tensor) -> torch.Tensor:
    """Normalised patch tokens of the last block.

    Args:
        backbone: Its mode stays as it is; the tokens are those of eval mode.
        images: ``(B, 3, H, W)``, normalised.

    Returns:
        ``(B, L, C)``.
    """
    with inspection(backbone):
        return backbone.forward_tokens(images)[:, backbone.num_extra_tokens:]


def principal_components(tokens: torch.Tensor) -> torch.Tensor:
    """The first three principal components of tokens, over all of them together.

    Args:
        tokens: ``(B, L, C)``, with C and B * L at least 3.

    Returns:
        ``(B, L, 3)`` float64, largest variance first. Of the two signs that a component may have,
        it has the one that makes its largest weight positive, so the order of the images and the
        library used do not matter.
    """
    flat = tokens.double().flatten(0, 1)
    flat = flat - flat.mean(dim=0)
    _, directions = torch.linalg.eigh(flat.T @ flat)  # in ascending order of variance
    directions = directions[:, -3:].flip(1)
    largest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    return (flat @ directions).view(*tokens.shape[:2], 3)


def token_colours(tokens: torch.Tensor) -> torch.Tensor:
    """Colours of tokens: alike tokens have alike colours, also across images.

    Args:
        tokens: As for :func:`principal_components`.

    Returns:
        ``(B, L, 3)`` float64 from 0 to 1: each component stretched from its 2nd to its 98th
        percentile, what lies beyond cut off.
    """
    components = principal_components(tokens)
    levels = torch.tensor([TAIL, 1 - TAIL], dtype=components.dtype, device=components.device)
    low, high = components.flatten(0, 1).quantile(levels, dim=0)
    return ((components - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
