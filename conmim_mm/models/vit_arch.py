"""Sizes of the ViTs by name, and the checks of what a config says of them."""

from collections.abc import Sequence

from ..errors import InputError

ARCH_ZOO = {
    'small': dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
    'base': dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072),
    'large': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
}


def resolve_arch(arch: str | dict) -> dict[str, int]:
    """The sizes of an arch given by name or in full.

    Raises:
        InputError: An unknown name, wrong keys, or heads that do not divide the width.
    """
    if isinstance(arch, str):
        if arch not in ARCH_ZOO:
            raise InputError(f'unknown arch {arch!r}; choose from {sorted(ARCH_ZOO)} or give a '
                             'dict')
        return ARCH_ZOO[arch]
    wanted = set(ARCH_ZOO['base'])
    if set(arch) != wanted:
        raise InputError(f'arch must have exactly the keys {sorted(wanted)}, '
                         f'but has {sorted(arch)}')
    if arch['embed_dims'] % arch['num_heads']:
        raise InputError(f'embed_dims={arch["embed_dims"]} is not divisible by '
                         f'num_heads={arch["num_heads"]}')
    return arch


def resolve_blocks(name: str, blocks: int | Sequence[int], num_layers: int) -> list[int]:
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


def layer_of(name: str, num_layers: int) -> int:
    """The layer that a parameter of the backbone belongs to, as BEiT counts (arXiv 2106.08254).

    Args:
        name: The parameter's own name in the backbone; of anything else an empty one.
        num_layers: How many blocks there are.

    Returns:
        0 for the embedding, i + 1 for block i, ``num_layers + 1`` for the final norm, the shared
        relative position table and whatever is not the backbone's.
    """
    top, _, rest = name.partition('.')
    if top in ('cls_token', 'mask_token', 'pos_embed', 'patch_embed'):
        return 0
    return int(rest.partition('.')[0]) + 1 if top == 'blocks' else num_layers + 1
