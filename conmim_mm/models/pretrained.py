"""A part starts from a checkpoint: all of it, or with an error that says what is wrong."""

from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..checkpoint.differences import describe_differences
from ..checkpoint.reading import (
    backbone_state,
    load_checkpoint_file,
    model_state,
    weights_below,
)
from ..checkpoint.settings import saved_arguments, saved_reading
from ..errors import InputError
from ..utils.sizes import likely_grid
from .layers.embedding import infer_pos_embed_grid, resize_pos_embed
from .layers.rel_pos_bias import infer_table_grid, resize_table

SHARED_TABLE = 'rel_pos_bias.relative_position_bias_table'
BLOCK_TABLE = 'blocks.{}.attn.' + SHARED_TABLE
_KNOWN_KEYS = {'type', 'checkpoint', 'prefix', 'weights'}


def load_pretrained_backbone(vit: nn.Module, init_cfg: Mapping) -> None:
    """Loads what a ``Pretrained`` init_cfg names, completely.

    A shared relative position table becomes one table per block where the backbone has those. Of
    tables and a position embedding, what was not pre-trained starts at 0, where it says nothing.
    Both are resized to its ``img_size``, and what fine-tuning has no use for (the mask token; the
    final norm before mean pooling, which has its own) is dropped with a line in the log.

    Args:
        vit: The backbone, initialised; its ``num_layers`` and ``grid`` say what fits it.
        init_cfg: ``checkpoint``, a file or address; ``weights``, ``'teacher'`` (default) or
            ``'student'``; MMEngine's ``prefix`` may be ``'backbone.'``, which changes nothing.

    Raises:
        InputError: No checkpoint, or weights that are missing, unexpected or of another shape.
    """
    unknown = sorted(set(init_cfg) - _KNOWN_KEYS)
    if unknown or init_cfg.get('prefix', 'backbone.').rstrip('.') != 'backbone':
        raise InputError('a Pretrained init_cfg of ConMIMViT takes checkpoint and weights (teacher '
                         f'or student), but has {dict(init_cfg)}')
    path = init_cfg.get('checkpoint')
    if not path:
        raise InputError('no checkpoint to start from: set model.backbone.init_cfg.checkpoint=PATH '
                         '(or model.backbone.init_cfg=None for random weights)')
    checkpoint = load_checkpoint_file(path)
    state = backbone_state(checkpoint, init_cfg.get('weights', 'teacher'))
    saved, own_eps = saved_arguments(checkpoint), vit.blocks[0].norm1.eps
    if (eps := saved.get('norm_eps', own_eps)) != own_eps:
        raise InputError(f'{path} was trained with another epsilon in its LayerNorms: set '
                         f'model.backbone.norm_eps={eps}')
    state, changes = fit_to_backbone(
        vit, state, likely_grid(saved.get('img_size'), vit.patch_size))
    differences = describe_differences(vit.state_dict(), state)
    if differences:
        raise InputError(f'{path} does not fit the backbone: {differences}. '
                         f'{_advice(vit, state)}')
    vit.load_state_dict(state)
    if keys := saved_reading(checkpoint):
        changes.append(f'trained on images read by LoadImage with reading={keys}')
    print_log(f'backbone: {len(state)} tensors from {path}' +
              ''.join(f'; {change}' for change in changes), logger='current')


def _advice(vit: nn.Module, state: dict[str, torch.Tensor]) -> str:
    own, embedding = vit.state_dict(), 'patch_embed.proj.weight'
    shape = state.get(embedding, own[embedding]).shape
    if len(shape) == 4 and shape[1] != own[embedding].shape[1]:
        return (f'It is for images of {shape[1]} channels: set model.backbone.in_channels='
                f'{shape[1]} (conmim export --format mmpretrain prints all that such need)')
    if 'pos_embed' in state and 'pos_embed' not in own:
        return 'It has a position embedding: set model.backbone.use_abs_pos_emb=True'
    return ('Give the backbone the arch, patch_size and kind of position embedding it was '
            'pre-trained with')


def fit_to_backbone(vit: nn.Module, state: dict[str, torch.Tensor],
                    before: tuple[int, int] | None = None
                    ) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Brings pre-trained weights into the form that a backbone for a task has.

    Args:
        vit: The backbone, with its ``num_layers`` and ``grid``.
        state: Weights under a backbone's own names.
        before: The patch grid that they are for, in case it is oblong, which nothing else tells.

    Returns:
        The weights, and what was changed in words.
    """
    own = vit.state_dict()
    state = dict(state)
    changes = []

    first_block_table = BLOCK_TABLE.format(0)
    if SHARED_TABLE in state and SHARED_TABLE not in own and first_block_table in own:
        table = state.pop(SHARED_TABLE)
        state |= {BLOCK_TABLE.format(i): table.clone() for i in range(vit.num_layers)}
        changes.append('shared relative position table copied to every block')

    has_tables = any(key.endswith(SHARED_TABLE) for key in state)
    own_tables = [key for key in own if key.endswith(SHARED_TABLE)]
    silent = (own_tables if 'pos_embed' in state and 'pos_embed' in own and not has_tables else
              ['pos_embed'] if has_tables and own_tables and 'pos_embed' not in state else [])
    for key in own.keys() & set(silent):
        state[key] = torch.zeros_like(own[key])
        changes.append(f'{key} starts at 0: it was pre-trained without')

    resized = set()
    for key, value in state.items():
        # a grid on its side has as many positions
        if key not in own or own[key].shape == value.shape and before in (None, vit.grid):
            continue
        if key.endswith(SHARED_TABLE):
            grid, resize = infer_table_grid(len(value), before), resize_table
        elif key == 'pos_embed':
            grid, resize = infer_pos_embed_grid(value.shape[1] - 1, before), resize_pos_embed
        else:
            continue
        if grid in (None, vit.grid):
            continue
        state[key] = resize(value, grid, vit.grid)
        resized.add(f'{grid[0]}x{grid[1]} to {vit.grid[0]}x{vit.grid[1]} patches')
    changes += [f'position tables resized from {sizes}' for sizes in sorted(resized)]

    dropped = [key for key in ('mask_token',) if key in state and key not in own]
    # Mean pooling has a norm of its own, which starts anew as in the original implementation.
    if 'fc_norm.weight' in own and 'norm.weight' in state and 'fc_norm.weight' not in state:
        dropped += ['norm.weight', 'norm.bias']
        state |= {key: own[key] for key in ('fc_norm.weight', 'fc_norm.bias')}
        changes.append('fc_norm starts anew')
    for key in dropped:
        del state[key]
    if dropped:
        changes.append(f'not needed here: {", ".join(dropped)}')
    return state, changes


def refuse_partial_weights(vit: nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Load hook: any loader that brings less than the whole backbone is stopped.

    OpenMMLab's loaders only warn of weights that do not fit, and a model with half a backbone runs.

    Raises:
        InputError: Weights are missing, unexpected or of another shape.
    """
    if '_fsdp_wrapped_module.' in prefix:
        return  # a process holds pieces of it only; StartChecksHook compares the whole model
    differences = describe_differences(vit.state_dict(), weights_below(state_dict, prefix))
    if differences:
        raise InputError(f'the checkpoint does not fit the backbone: {differences}. To start a '
                         'task from pre-training, set model.backbone.init_cfg.checkpoint')


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """MMEngine's ``Pretrained`` for heads and necks, without its silence.

    ``Pretrained`` warns of weights that do not fit and leaves the module as it was.

    Args:
        checkpoint: A file or address.
        prefix: Start of the names of the module's weights in it, such as ``'head.'``.
    """

    def __init__(self, checkpoint: str, prefix: str) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        """Loads ``module``.

        Raises:
            InputError: No such checkpoint, or weights that are missing, unexpected or of another
                shape.
        """
        given = weights_below(model_state(load_checkpoint_file(self.checkpoint)), self.prefix)
        differences = describe_differences(module.state_dict(), given)
        if differences:
            raise InputError(f'{self.checkpoint} does not fit the {type(module).__name__} '
                             f'({self.prefix}*): {differences}')
        module.load_state_dict(given)
