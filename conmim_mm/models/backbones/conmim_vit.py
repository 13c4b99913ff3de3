"""ConMIMViT: the one plain ViT of this project, BEiT's architecture (arXiv 2106.08254)."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import nn
from torch.utils.checkpoint import checkpoint

from ...checkpoint.settings import type_name
from ...errors import InputError
from ...utils.sizes import divide_size, to_size
from ..layers.attention_patterns import (
    AttentionPattern,
    VisibleAttention,
    WindowAttention,
    global_attention,
)
from ..layers.block import NORM_EPS, Block
from ..layers.embedding import PatchEmbed, init_as_original, resize_pos_embed, sincos_pos_embed
from ..layers.rel_pos_bias import RelativePositionBias
from ..layers.visible import count_visible, split_positions, take
from ..pretrained import load_pretrained_backbone, refuse_partial_weights

ARCH_KEYS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')


@MODELS.register_module()
class ConMIMViT(BaseModule):
    """Plain Vision Transformer with relative position bias and layer scale.

    Args:
        arch: The sizes: a dict with the keys ``embed_dims``, ``num_layers``, ``num_heads`` and
            ``feedforward_channels``. Those of S, B and L are in ``configs/_base_/backbones``.
        img_size: Height and width in pixels that the position tables are made for; an int for
            square images. Must be divisible by ``patch_size``. Images of any other size are met by
            resizing the tables on the way (see :meth:`embed_patches`).
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
        rel_pos_init_slope: How much the tables start to fall per patch of distance
            (:func:`sloping_table`); 0 as the original. Short
            schedules leave chance sooner with about 2.
        use_abs_pos_emb: A learnt absolute position embedding. In pre-training it is a shortcut:
            the teacher sees it too, and positions can be matched without looking at content.
        use_sincos_pos_emb: A fixed sine-cosine position embedding (:func:`sincos_pos_embed`) in its
            place, for a student of visible patches whose head has ``centre_positions``.
        use_mask_token: Whether there is a mask token, so that :meth:`forward_tokens` takes a mask.
        norm_eps: Epsilon of all LayerNorms; weights of other libraries may need theirs.
        pre_norm: A LayerNorm before the first block, as CLIP's image towers have it.
        drop_path_rate: Drop path of the last block; the others rise linearly to it from 0.
        window_size: Side of the attention windows of ``window_blocks``, in patches.
        window_blocks: Blocks that attend within windows (detection, arXiv 2203.16527); negative
            ones count from the end.
        frozen_stages: -1 freezes nothing, 0 the embedding and the shared table, n also the first n
            blocks, and with all blocks the last norm too.
        with_cp: Compute each block again in the backward pass to save memory (activation
            checkpointing).
        init_cfg: As in MMEngine. ``dict(type='Pretrained', checkpoint=PATH)`` starts from a
            checkpoint of this project, all of it or with an error
            (:func:`load_pretrained_backbone`, whose ``weights`` may be given here as well).

    Raises:
        InputError: Wrong keys of arch, an unknown out_type, sizes that do not divide, an index out
            of range.
    """

    out_types = ('raw', 'cls_token', 'featmap', 'avg_featmap')
    num_extra_tokens = 1  # those before the patch tokens: the class token

    def __init__(self,
                 arch: dict,
                 img_size: int | Sequence[int] = 224,
                 patch_size: int = 16,
                 in_channels: int = 3,
                 out_indices: int | Sequence[int] = -1,
                 out_type: str = 'raw',
                 layer_scale_init_value: float | None = 0.1,
                 use_shared_rel_pos_bias: bool = True,
                 use_rel_pos_bias: bool = False,
                 rel_pos_init_slope: float = 0.,
                 use_abs_pos_emb: bool = False,
                 use_sincos_pos_emb: bool = False,
                 use_mask_token: bool = False,
                 norm_eps: float = NORM_EPS,
                 pre_norm: bool = False,
                 drop_path_rate: float = 0.,
                 window_size: int | None = None,
                 window_blocks: Sequence[int] = (),
                 frozen_stages: int = -1,
                 with_cp: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        check_arch(arch)
        self.embed_dims = arch['embed_dims']
        self.num_layers = arch['num_layers']
        self.num_heads = arch['num_heads']
        if out_type not in self.out_types:
            raise InputError(f'unknown out_type {out_type!r}; choose from {self.out_types}')
        self.out_type = out_type
        self.out_indices = resolve_block_indices('out_indices', out_indices, self.num_layers)
        self.window_size = window_size
        self.window_blocks = frozenset(
            resolve_block_indices('window_blocks', window_blocks, self.num_layers))
        if self.window_blocks and (not isinstance(window_size, int) or window_size < 1):
            raise InputError('window_blocks need a window_size in patches, but it is '
                             f'{window_size!r}')
        if not -1 <= frozen_stages <= self.num_layers:
            raise InputError(f'frozen_stages={frozen_stages} is not between -1 and the '
                             f'{self.num_layers} blocks')
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.img_size = to_size(img_size)
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.grid = divide_size(self.img_size, patch_size, 'img_size', 'patch_size')
        num_patches = math.prod(self.grid)

        self.patch_embed = PatchEmbed(patch_size, in_channels, self.embed_dims)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.mask_token = (
            nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if use_mask_token else None)
        self.pos_embed = (
            nn.Parameter(torch.zeros(1, self.num_extra_tokens + num_patches, self.embed_dims))
            if use_abs_pos_emb or use_sincos_pos_emb else None)
        self.use_sincos_pos_emb = use_sincos_pos_emb
        if use_sincos_pos_emb:
            self.pos_embed.requires_grad_(False)
        self.rel_pos_bias = (
            RelativePositionBias(self.grid, self.num_heads, rel_pos_init_slope)
            if use_shared_rel_pos_bias else None)

        self.pre_norm = (
            nn.LayerNorm(self.embed_dims, eps=norm_eps) if pre_norm else nn.Identity())
        self.blocks = nn.ModuleList(
            Block(
                self.embed_dims,
                self.num_heads,
                arch['feedforward_channels'],
                layer_scale_init_value=layer_scale_init_value or 0.,
                drop_path_rate=drop_path_rate * i / max(self.num_layers - 1, 1),
                grid=self.grid if use_rel_pos_bias else None,
                rel_pos_init_slope=rel_pos_init_slope,
                norm_eps=norm_eps) for i in range(self.num_layers))

        norm = nn.LayerNorm(self.embed_dims, eps=norm_eps)
        pooled = out_type == 'avg_featmap'
        self.norm = nn.Identity() if pooled else norm
        self.fc_norm = norm if pooled else nn.Identity()
        for part in [*self._frozen_modules(), *(self._tokens() if frozen_stages >= 0 else ())]:
            part.requires_grad_(False)
        self.register_load_state_dict_pre_hook(refuse_partial_weights)

    def init_weights(self) -> None:
        """Initialises as the original does; then what ``init_cfg`` says, or loads what it names.

        Raises:
            InputError: A ``Pretrained`` checkpoint does not fit.
        """
        pretrained = (isinstance(self.init_cfg, Mapping)
                      and type_name(self.init_cfg) in ('Pretrained', 'PretrainedInit'))
        init_as_original(self, self._tokens(), self.blocks)
        if self.use_sincos_pos_emb:
            patches = sincos_pos_embed(self.grid, self.embed_dims)
            self.pos_embed.data.copy_(F.pad(patches, (0, 0, self.num_extra_tokens, 0)))
        if pretrained:
            load_pretrained_backbone(self, self.init_cfg)
        elif self.init_cfg:
            super().init_weights()
        self.is_init = True

    def train(self, mode: bool = True) -> 'ConMIMViT':
        """Frozen parts stay in eval mode, without drop path."""
        super().train(mode)
        for part in self._frozen_modules():
            part.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        parts = [self.patch_embed, self.pre_norm, *self.blocks[:self.frozen_stages]]
        if self.rel_pos_bias is not None:
            parts.append(self.rel_pos_bias)
        if self.frozen_stages == self.num_layers:
            parts += [self.norm, self.fc_norm]
        return parts

    def _tokens(self) -> list[nn.Parameter]:
        tokens = (self.cls_token, self.mask_token, self.pos_embed)
        return [token for token in tokens if token is not None]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Where a parameter stands between input and output, for layer-wise learning rates.

        Args:
            param_name: Name of the parameter in the whole model.
            prefix: What stands before this backbone's own names.

        Returns:
            The layer as BEiT counts (arXiv 2106.08254): 0 for the embedding, i + 1 for block i,
            blocks + 1 for the final norm, the shared relative position table and whatever is not
            the backbone's. And how many layers there are: blocks + 2.
        """
        own_name = param_name.removeprefix(prefix) if param_name.startswith(prefix) else ''
        top, _, rest = own_name.partition('.')
        if top in ('cls_token', 'mask_token', 'pos_embed', 'patch_embed', 'pre_norm'):
            layer = 0
        else:
            layer = 1 + (int(rest.partition('.')[0]) if top == 'blocks' else self.num_layers)
        return layer, self.num_layers + 2

    def grid_of(self, images: torch.Tensor) -> tuple[int, int]:
        """Height and width of the patch grid of images ``(B, 3, H, W)``."""
        height, width = (math.ceil(side / self.patch_size) for side in images.shape[-2:])
        return height, width

    def embed_patches(self, images: torch.Tensor,
                      mask: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens that enter the first block.

        Args:
            images: ``(B, 3, H, W)``, normalised, of any size; sides that are no multiple of the
                patch size are filled up with 0 on the right and at the bottom.
            mask: ``(B, L)`` bool, True where the mask token takes the patch's place; None for a
                whole image.

        Returns:
            ``(B, 1 + L, C)``, class token first.

        Raises:
            InputError: A mask of another shape.
        """
        bottom, right = (-side % self.patch_size for side in images.shape[-2:])
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom))
        x = self.patch_embed(images)
        if mask is not None:
            check_mask(mask, x.shape[:2])
            if self.mask_token is None:
                raise InputError('the backbone has no mask token; set use_mask_token=True')
            x = torch.where(mask.unsqueeze(-1), self.mask_token, x)
        # Under autocast the float32 class token makes the residual stream float32, as it must be.
        # Not len(x), which would freeze the batch of an exported graph.
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        if self.pos_embed is not None:
            x = x + resize_pos_embed(self.pos_embed, self.grid, self.grid_of(images))
        return self.pre_norm(x)

    def forward_blocks(self, x: torch.Tensor,
                       patterns: list[AttentionPattern]) -> list[torch.Tensor]:
        """Runs the blocks on ``(B, 1 + L, C)`` and returns what each puts out, in order.

        Args:
            x: Tokens of :meth:`embed_patches`.
            patterns: One for each block, such as those of :meth:`attention_patterns`; where there
                are fewer, only so many blocks run.
        """
        outputs = []
        for block, pattern in zip(self.blocks[:len(patterns)], patterns, strict=True):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, pattern, use_reentrant=False)
            else:
                x = block(x, pattern)
            outputs.append(x)
        return outputs

    def attention_patterns(self, grid: tuple[int, int]) -> list[AttentionPattern]:
        """Who attends to whom, block by block, on a patch grid of this height and width."""
        everywhere = within_windows = None  # each made only where a block needs it
        if self.window_blocks:
            within_windows = WindowAttention(grid, self.rel_pos_bias, self.window_size)
        if len(self.window_blocks) < self.num_layers:
            everywhere = global_attention(grid, self.rel_pos_bias)
        return [within_windows if i in self.window_blocks else everywhere
                for i in range(self.num_layers)]

    def forward_tokens(self,
                       images: torch.Tensor,
                       mask: torch.Tensor | None = None) -> torch.Tensor:
        """All normalised tokens of the last block.

        Arguments and errors as in :meth:`embed_patches`.

        Returns:
            ``(B, 1 + L, C)``, class token first.
        """
        patterns = self.attention_patterns(self.grid_of(images))
        return self.norm(self.forward_blocks(self.embed_patches(images, mask), patterns)[-1])

    def forward_visible(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Normalised tokens of the last block, of the visible patches alone; they see no others.

        Args:
            images: As in :meth:`embed_patches`.
            mask: ``(B, L)`` bool, True = masked, as many in each image.

        Returns:
            ``(B, 1 + V, C)``, class token first, then the V visible patches row by row.

        Raises:
            InputError: Masks that leave no or not the same number of patches, or attention windows.
        """
        if self.window_blocks:
            raise InputError('visible patches alone cannot attend within windows; leave out '
                             'window_blocks')
        x = self.embed_patches(images)
        check_mask(mask, (len(x), x.shape[1] - self.num_extra_tokens))
        visible, _ = split_positions(mask, count_visible(mask))
        x = torch.cat([x[:, :self.num_extra_tokens],
                       take(x[:, self.num_extra_tokens:], visible)], dim=1)
        pattern = VisibleAttention(self.grid_of(images), self.rel_pos_bias, visible)
        return self.norm(self.forward_blocks(x, [pattern] * self.num_layers)[-1])

    def mean_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Mean of the normalised patch tokens, ``(B, C)``: what frozen features are."""
        return self.fc_norm(self.forward_tokens(images)[:, self.num_extra_tokens:].mean(dim=1))

    def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised patch tokens on their grid, ``(B, h, w, C)``: what dense features are."""
        tokens = self.forward_tokens(images)[:, self.num_extra_tokens:]
        return self.fc_norm(tokens).unflatten(1, self.grid_of(images))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of whole images, one tensor per entry of ``out_indices`` (see ``out_type``)."""
        grid = self.grid_of(images)
        outputs = self.forward_blocks(self.embed_patches(images), self.attention_patterns(grid))
        return tuple(self._format(outputs[i], i, grid) for i in self.out_indices)

    def _format(self, x: torch.Tensor, block_index: int, grid: tuple[int, int]) -> torch.Tensor:
        if block_index == self.num_layers - 1:
            x = self.norm(x)
        if self.out_type == 'raw':
            return x
        if self.out_type == 'cls_token':
            return x[:, 0]
        patches = x[:, self.num_extra_tokens:]
        if self.out_type == 'avg_featmap':
            return self.fc_norm(patches.mean(dim=1))
        return patches.transpose(1, 2).unflatten(2, grid)


def check_mask(mask: torch.Tensor, patches: tuple[int, int]) -> None:
    """Checks that masks are for these images.

    Args:
        mask: ``(B, L)``.
        patches: B and L of the images.

    Raises:
        InputError: They are not.
    """
    if mask.shape != patches:
        raise InputError(
            f'the mask is {tuple(mask.shape)}, the images have {tuple(patches)} (batch, patches); '
            'give mask generator and backbone the same sizes')


def check_arch(arch: dict[str, int]) -> None:
    """Checks the sizes of a ViT.

    Raises:
        InputError: No dict, wrong keys, or heads that do not divide the width.
    """
    if not isinstance(arch, dict) or set(arch) != set(ARCH_KEYS):
        given = sorted(arch) if isinstance(arch, dict) else arch
        raise InputError(f'arch must be a dict with exactly the keys {sorted(ARCH_KEYS)}, but '
                         f'{"has" if isinstance(arch, dict) else "is"} {given!r}')
    if arch['embed_dims'] % arch['num_heads']:
        raise InputError(f'embed_dims={arch["embed_dims"]} is not divisible by '
                         f'num_heads={arch["num_heads"]}')


def resolve_block_indices(name: str, blocks: int | Sequence[int], num_layers: int) -> list[int]:
    """Indices of blocks from 0, from one or several that may count from the end.

    Args:
        name: What the config calls them, for the error.
        blocks: The indices.
        num_layers: How many blocks there are.

    Raises:
        InputError: An index out of range.
    """
    indices = [blocks] if isinstance(blocks, int) else list(blocks)
    for i in indices:
        if not -num_layers <= i < num_layers:
            raise InputError(f'{name} has {i}, but there are {num_layers} blocks')
    return [i % num_layers for i in indices]
