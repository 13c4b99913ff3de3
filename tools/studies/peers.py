"""What mmpretrain's methods need to train the same ViT, and that ViT as a ConMIMViT."""

from dataclasses import replace

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS, MODELS
from torch import nn

from conmim_mm.formats.backbone import backbone_settings, read_sizes
from conmim_mm.formats.mmpretrain_format import from_mmpretrain
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.models.layers.attention_patterns import attend


@MODELS.register_module()
class SimMIMViT(ConMIMViT):
    """A ConMIMViT as mmpretrain's SimMIM calls its backbones; arguments as there."""

    def forward(self, images: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """``(B, C, h, w)`` of images ``(B, 3, H, W)`` with masks ``(B, h, w)``, True = masked."""
        if mask is None:
            return super().forward(images)
        tokens = self.forward_tokens(images, mask.flatten(1).bool())[:, self.num_extra_tokens:]
        return (tokens.transpose(1, 2).unflatten(2, self.grid_of(images)), )


@HOOKS.register_module()
class SameAttentionHook(Hook):
    """Lets mmpretrain's attention compute as ours does.

    In bfloat16 on a CPU PyTorch's fused kernel, which it calls, takes several times as long; that
    is no property of the methods that are compared.
    """

    def before_train(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if hasattr(module, 'scaled_dot_product_attention'):
                module.scaled_dot_product_attention = attend_without_dropout


def attend_without_dropout(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                           dropout_p: float = 0.) -> torch.Tensor:
    """As PyTorch's function; the methods compared have no dropout."""
    if dropout_p:
        raise ValueError('this attention has no dropout')
    return attend(q, k, v)


def as_conmim_vit(backbone: nn.Module) -> tuple[dict, dict[str, torch.Tensor]]:
    """Settings and weights of the ConMIMViT that computes what a trained backbone does."""
    weights = backbone_weights(backbone)
    if isinstance(backbone, ConMIMViT):
        heads, eps = backbone.num_heads, backbone.blocks[0].norm1.eps
    else:
        heads, eps = backbone.layers[0].attn.num_heads, backbone.layers[0].ln1.eps
    return backbone_settings(replace(read_sizes(weights, heads), norm_eps=eps)), weights


def backbone_weights(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a trained backbone under a ConMIMViT's names."""
    state = backbone.state_dict()
    if isinstance(backbone, ConMIMViT):
        state.pop('mask_token', None)
        return state
    return from_mmpretrain(state, {}).weights
