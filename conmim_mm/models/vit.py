"""ConMIMViT: the one plain ViT of this project, BEiT's architecture (arXiv 2106.08254)."""

import math
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import nn

from ..errors import InputError
from ..sizes import divide_size, to_size
from .rel_pos_bias import RelativePositionBias
from .vit_block import NORM_EPS, Block

INIT_STD = 0.02


def trunc_normal_(tensor: torch.Tensor) -> torch.Tensor:
    """Normal of std 0.02 cut at one std, in place; the original's initialisation."""
    return nn.init.trunc_normal_(tensor, std=INIT_STD, a=-INIT_STD, b=INIT_STD)


class PatchEmbed(nn.Module):
    """Cuts ``(B, 3, H, W)`` into patches and embeds each: ``(B, L, C)``, row by row."""

    def __init__(self, patch_size: int, in_channels: int, embed_dims: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


@MODELS.register_module()
class ConMIMViT(BaseModule):
    """Plain Vision Transformer with relative position bias and layer scale.

    Args:
        arch: ``'small'``, ``'base'`` or ``'large'``, or a dict with the keys ``embed_dims``,
            ``num_layers``, ``num_heads`` and ``feedforward_channels``.
        img_size: Image height and width in pixels; an int for square images. Must be divisible
            by ``patch_size``.
        patch_size: Side of a patch, in pixels.
        in_channels: Channels of the image.
        out_indices: Blocks whose output :meth:`forward` returns; negative ones count from the end.
        out_type: What :meth:`forward` returns of each block: ``'raw'`` all tokens
            ``(B, 1 + L, C)``, ``'cls_token'`` ``(B, C)``, ``'featmap'`` ``(B, C, h, w)``, or
            ``'avg_featmap'`` ``(B, C)``, the mean of the patch tokens with a LayerNorm after it
            (``fc_norm``) in place of the final LayerNorm, as BEiT fine-tunes.
        layer_scale_init_value: Start of layer scale; 0 or None for none. The originals: 0.1 for
            S and B, 1e-5 for L.
        use_shared_rel_pos_bias: One relative position table for all blocks (pre-training).
        use_rel_pos_bias: A relative position table in each block (fine-tuning).
        use_abs_pos_emb: A learnt absolute position embedding. In pre-training it is a shortcut:
            the teacher sees it too, and positions can be matched without looking at content.
        use_mask_token: Whether there is a mask token, so that :meth:`forward_tokens` takes a mask.
        drop_path_rate: Drop path of the last block; the others rise linearly to it from 0.
        init_cfg: As in MMEngine.

    Raises:
        InputError: An unknown arch or out_type, sizes that do not divide, an index out of range.
    """

    arch_zoo = {
        'small': dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
        'base': dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072),
        'large': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    }
    out_types = ('raw', 'cls_token', 'featmap', 'avg_featmap')
    num_extra_tokens = 1

    def __init__(self,
                 arch: str | dict = 'base',
                 img_size: int | Sequence[int] = 224,
                 patch_size: int = 16,
                 in_channels: int = 3,
                 out_indices: int | Sequence[int] = -1,
                 out_type: str = 'raw',
                 layer_scale_init_value: float | None = 0.1,
                 use_shared_rel_pos_bias: bool = True,
                 use_rel_pos_bias: bool = False,
                 use_abs_pos_emb: bool = False,
                 use_mask_token: bool = False,
                 drop_path_rate: float = 0.,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        arch = self._resolve_arch(arch)
        self.embed_dims = arch['embed_dims']
        self.num_layers = arch['num_layers']
        self.num_heads = arch['num_heads']
        if out_type not in self.out_types:
            raise InputError(f'unknown out_type {out_type!r}; choose from {self.out_types}')
        self.out_type = out_type
        self.out_indices = self._resolve_indices(out_indices)
        self.img_size = to_size(img_size)
        self.patch_size = patch_size
        self.grid = divide_size(self.img_size, patch_size, 'img_size', 'patch_size')
        num_patches = math.prod(self.grid)

        self.patch_embed = PatchEmbed(patch_size, in_channels, self.embed_dims)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.mask_token = (
            nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if use_mask_token else None)
        self.pos_embed = (
            nn.Parameter(torch.zeros(1, self.num_extra_tokens + num_patches, self.embed_dims))
            if use_abs_pos_emb else None)
        self.rel_pos_bias = (
            RelativePositionBias(self.grid, self.num_heads) if use_shared_rel_pos_bias else None)

        self.blocks = nn.ModuleList(
            Block(
                self.embed_dims,
                self.num_heads,
                arch['feedforward_channels'],
                layer_scale_init_value=layer_scale_init_value or 0.,
                drop_path_rate=drop_path_rate * i / max(self.num_layers - 1, 1),
                grid=self.grid if use_rel_pos_bias else None) for i in range(self.num_layers))

        norm = nn.LayerNorm(self.embed_dims, eps=NORM_EPS)
        pooled = out_type == 'avg_featmap'
        self.norm = nn.Identity() if pooled else norm
        self.fc_norm = norm if pooled else nn.Identity()

    def init_weights(self) -> None:
        """Initialises as the original does; a ``Pretrained`` init_cfg is left to MMEngine."""
        super().init_weights()
        if self.init_cfg:
            return
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                trunc_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for token in (self.cls_token, self.mask_token, self.pos_embed):
            if token is not None:
                trunc_normal_(token)
        with torch.no_grad():
            for depth, block in enumerate(self.blocks, start=1):
                block.attn.proj.weight /= math.sqrt(2 * depth)
                block.mlp.fc2.weight /= math.sqrt(2 * depth)

    def embed(self, images: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens that enter the first block.

        Args:
            images: ``(B, 3, H, W)``, normalised; H and W as in ``img_size``.
            mask: ``(B, L)`` bool, True where the mask token takes the patch's place; None for a
                whole image.

        Returns:
            ``(B, 1 + L, C)``, class token first.

        Raises:
            InputError: An image of another size, or a mask of another shape.
        """
        if images.shape[-2:] != self.img_size:
            raise InputError(f'the image is {tuple(images.shape[-2:])} pixels, the backbone was '
                             f'built for img_size={self.img_size}; make them agree in the config')
        x = self.patch_embed(images)
        if mask is not None:
            if mask.shape != x.shape[:2]:
                raise InputError(
                    f'the mask is {tuple(mask.shape)}, the images have {tuple(x.shape[:2])} '
                    '(batch, patches); give mask generator and backbone the same sizes')
            if self.mask_token is None:
                raise InputError('the backbone has no mask token; set use_mask_token=True')
            x = torch.where(mask.unsqueeze(-1), self.mask_token, x)
        # Under autocast the float32 class token makes the residual stream float32, as it must be.
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        return x if self.pos_embed is None else x + self.pos_embed

    def forward_blocks(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Runs the blocks on ``(B, 1 + L, C)`` and returns what each puts out, in order."""
        shared_bias = None if self.rel_pos_bias is None else self.rel_pos_bias()
        outputs = []
        for block in self.blocks:
            x = block(x, shared_bias)
            outputs.append(x)
        return outputs

    def forward_tokens(self,
                       images: torch.Tensor,
                       mask: torch.Tensor | None = None) -> torch.Tensor:
        """All normalised tokens of the last block.

        Arguments and errors as in :meth:`embed`.

        Returns:
            ``(B, 1 + L, C)``, class token first.
        """
        return self.norm(self.forward_blocks(self.embed(images, mask))[-1])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of whole images, one tensor per entry of ``out_indices`` (see ``out_type``)."""
        outputs = self.forward_blocks(self.embed(images))
        return tuple(self._format(outputs[i], i) for i in self.out_indices)

    def _format(self, x: torch.Tensor, block_index: int) -> torch.Tensor:
        if block_index == self.num_layers - 1:
            x = self.norm(x)
        if self.out_type == 'raw':
            return x
        if self.out_type == 'cls_token':
            return x[:, 0]
        patches = x[:, self.num_extra_tokens:]
        if self.out_type == 'avg_featmap':
            return self.fc_norm(patches.mean(dim=1))
        return patches.transpose(1, 2).unflatten(2, self.grid)

    def _resolve_arch(self, arch: str | dict) -> dict:
        if isinstance(arch, str):
            if arch not in self.arch_zoo:
                raise InputError(f'unknown arch {arch!r}; choose from {sorted(self.arch_zoo)} or '
                                 'give a dict')
            return self.arch_zoo[arch]
        wanted = set(self.arch_zoo['base'])
        if set(arch) != wanted:
            raise InputError(f'arch must have exactly the keys {sorted(wanted)}, '
                             f'but has {sorted(arch)}')
        if arch['embed_dims'] % arch['num_heads']:
            raise InputError(f'embed_dims={arch["embed_dims"]} is not divisible by '
                             f'num_heads={arch["num_heads"]}')
        return arch

    def _resolve_indices(self, out_indices: int | Sequence[int]) -> list[int]:
        indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        for i in indices:
            if not -self.num_layers <= i < self.num_layers:
                raise InputError(f'out_indices has {i}, but there are {self.num_layers} blocks')
        return [i % self.num_layers for i in indices]
