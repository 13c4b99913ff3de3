"""Weights of other libraries' plain ViTs under a ConMIMViT's names, computing the same."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..errors import InputError
from ..models.layers.embedding import infer_pos_embed_grid
from ..utils.sizes import likely_grid
from .facts import UNKNOWN, Facts
from .key_names import SHARED, TABLE, Weights

Renaming = Sequence[tuple[str, str]]

# What makes a ViT another architecture, by the names of its weights in any library.
_FOREIGN_PARTS = {
    r'reg_token|register_token': 'it has registers',
    r'dist_token|distillation_token': 'it has a distillation token',
    r'(^|\.)(rope\w*|rotary\w*|freqs\w*)(\.|$)': 'its positions are rotary (RoPE)',
    r'(q|k|query|key)_norm\b': 'it normalises queries and keys (qk-norm)',
    r'mlp\.(w12|w1|w2|w3|fc1_g|fc1_x|weights_in|gate_proj)\b|ffn\.w\d+\b': 'its MLP is a SwiGLU',
    r'blocks\.\d+\.(attns|ffns|in_proj|in_norm)\b': 'its blocks are parallel',
    r'patch_embed\.backbone\.': 'its patches come from a convolutional net',
}
_BLOCK = re.compile(
    r'blocks\.\d+\.(gamma_[12]|norm[12]\.(weight|bias)|mlp\.fc[12]\.(weight|bias)|attn\.('
    rf'q_bias|v_bias|qkv\.weight|proj\.(weight|bias)|{SHARED}\.{TABLE}))')
_TOP = re.compile(r'cls_token|mask_token|pos_embed|patch_embed\.proj\.(weight|bias)|'
                  rf'(pre_norm|norm|fc_norm)\.(weight|bias)|{SHARED}\.{TABLE}')
# Names of modules that every token passes: nothing of them may be left out.
_ON_THE_WAY = ('blocks', 'layers', 'encoder', 'patch_embed', 'embeddings', 'pos_embed', SHARED)


@dataclass(frozen=True)
class Translation:
    """A ViT's weights under a ConMIMViT's names, and what else was found.

    Attributes:
        library: Whose they were.
        weights: State dict of a :class:`ConMIMViT`.
        facts: What the library's settings tell.
        left_out: Names that have no place here.
        projector: State dict of a ``ConMIMProjector``, if there was one.
    """

    library: str
    weights: Weights
    facts: Facts = UNKNOWN
    left_out: tuple[str, ...] = ()
    projector: Weights | None = field(default=None, repr=False)


def below(state: Weights, anchor: str, whose: str = 'teacher') -> tuple[Weights, list[str]]:
    """The weights of one ViT of several, and the first words of all other names.

    Args:
        state: All weights.
        anchor: Name of a weight that every such ViT has.
        whose: ``'teacher'`` or ``'student'``, where there are both.

    Raises:
        InputError: There is none.
    """
    prefixes = [key.removesuffix(anchor) for key in state if re.search(rf'(^|\.){anchor}$', key)]
    if not prefixes:
        for key in state:
            refuse_parts(key)
        raise InputError('it is no plain ViT of a library known here; its weights begin with '
                         f'{", ".join(sorted(state)[:3])}')
    prefix = min([one for one in prefixes if whose in one] or prefixes, key=len)
    chosen = {key.removeprefix(prefix): value for key, value in state.items()
              if key.startswith(prefix)}
    return chosen, sorted({key.split('.')[0] for key in state if not key.startswith(prefix)})


def translate(library: str, state: Weights, renaming: Renaming, facts: Facts = UNKNOWN,
              left_out: Iterable[str] = ()) -> Translation:
    """Brings weights under a ConMIMViT's names, completes them, and refuses what does not fit.

    A key bias adds the same number to all logits of a query, and is left out. Biases that all
    blocks lack are zeros, as is the class token's part of a position embedding without one.

    Args:
        library: Whose weights these are.
        state: Those of one ViT.
        renaming: Regular expressions and replacements, applied one after the other, that make a
            ConMIMViT's names; ``qkv.bias`` and a table without a module around it may stay.
        facts: What the library's settings tell.
        left_out: Names outside of the ViT.

    Raises:
        InputError: It is another architecture.
    """
    named = {}
    for key, value in state.items():
        refuse_parts(key)
        for pattern, replacement in renaming:
            key = re.sub(pattern, replacement, key)
        key = re.sub(rf'\.attn\.{TABLE}$', f'.attn.{SHARED}.{TABLE}', key)
        if not key.endswith(('relative_position_index', '.k_bias', 'num_batches_tracked')):
            named[key] = value.float()
    if not {'blocks.0.norm1.weight', 'blocks.0.attn.qkv.weight'} <= named.keys():
        raise InputError('it is no plain ViT: it has no blocks with a LayerNorm before attention')
    weights = _with_biases(named)
    dropped = {key for key in weights if not (_BLOCK.fullmatch(key) or _TOP.fullmatch(key))}
    if on_the_way := sorted(key for key in dropped if key.split('.')[0] in _ON_THE_WAY):
        raise InputError(f'its {", ".join(on_the_way[:3])} has no place in a plain ViT')
    weights = {key: value for key, value in weights.items() if key not in dropped}
    _check_parts(weights)
    if 'pos_embed' in weights:
        patch_size = weights['patch_embed.proj.weight'].shape[-1]
        weights['pos_embed'] = _with_class_token(
            weights['pos_embed'], likely_grid(facts.img_size, patch_size))
    mask_token = weights.pop('mask_token', None)
    if mask_token is not None and mask_token.numel() == weights['cls_token'].numel():
        weights['mask_token'] = mask_token.reshape(1, 1, -1)
    elif mask_token is not None:  # that of a decoder
        dropped.add('mask_token')
    return Translation(library, weights, facts,
                       tuple(sorted({key.split('.')[0] for key in dropped} | set(left_out))))


def refuse_parts(key: str) -> None:
    """Stops at a weight of another architecture, by its name.

    Raises:
        InputError: It is one.
    """
    for pattern, reason in _FOREIGN_PARTS.items():
        if re.search(pattern, key):
            raise InputError(f'{reason} ({key})')


def _with_biases(weights: Weights) -> Weights:
    """Splits the biases of attention, and puts zeros where the architecture has none."""
    weights = dict(weights)
    for key in [key for key in weights if key.endswith('.attn.qkv.bias')]:
        q_bias, _, v_bias = weights.pop(key).chunk(3)
        block = key.removesuffix('qkv.bias')
        weights |= {f'{block}q_bias': q_bias.clone(), f'{block}v_bias': v_bias.clone()}
    missing = {}
    for key, value in weights.items():
        if key.endswith(('patch_embed.proj.weight', 'attn.proj.weight', 'mlp.fc1.weight',
                         'mlp.fc2.weight', 'norm1.weight', 'norm2.weight')):
            missing[key.removesuffix('weight') + 'bias'] = value.new_zeros(len(value))
        elif key.endswith('attn.qkv.weight'):
            block = key.removesuffix('qkv.weight')
            zeros = value.new_zeros(len(value) // 3)
            missing |= {f'{block}q_bias': zeros, f'{block}v_bias': zeros.clone()}
    kinds = {_kind(key) for key in weights}  # of which a file that lost some still has others
    return weights | {key: zeros for key, zeros in missing.items() if _kind(key) not in kinds}


def _kind(key: str) -> str:
    return re.sub(r'^blocks\.\d+', 'blocks', key)


def _check_parts(weights: Weights) -> None:
    """Looks for what every ViT here has.

    Raises:
        InputError: It lacks one of them.
    """
    if 'cls_token' not in weights:
        raise InputError('it has no class token')
    if not {'norm.weight', 'fc_norm.weight'} & weights.keys():
        raise InputError('it has no LayerNorm after the last block')
    fc1, fc2 = (weights.get(f'blocks.0.mlp.{name}.weight') for name in ('fc1', 'fc2'))
    if fc1 is not None and fc2 is not None and len(fc1) != fc2.shape[-1]:
        raise InputError('its MLP is a SwiGLU')


def _with_class_token(pos_embed: torch.Tensor, likely: tuple[int, int] | None) -> torch.Tensor:
    """``(1, 1 + L, C)``, of an embedding that may be ``(1, L, C)``.

    Raises:
        InputError: It is neither that of the likely grid nor of a square one.
    """
    pos_embed = pos_embed.reshape(1, -1, pos_embed.shape[-1])
    length = pos_embed.shape[1]
    lacks_it = likely and math.prod(likely) == length
    if infer_pos_embed_grid(length - 1, likely) and not lacks_it:
        return pos_embed
    if infer_pos_embed_grid(length, likely):
        return F.pad(pos_embed, (0, 0, 1, 0))
    raise InputError(f'its position embedding is that of an oblong image ({length} tokens), and no '
                     'settings beside it tell height and width')
