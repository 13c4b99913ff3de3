"""Our backbone's weights under the names of timm, Hugging Face transformers and the original."""

import re

import torch

Weights = dict[str, torch.Tensor]

SHARED = 'rel_pos_bias'
TABLE = 'relative_position_bias_table'
# A block's own table lies in a module here, and in the attention itself elsewhere.
OWN_TABLE = re.compile(rf'\.attn\.rel_pos_bias\.{TABLE}$')


def with_key_bias(weights: Weights) -> Weights:
    """Where a library has one bias for queries, keys and values: that of the keys is 0."""
    joined = dict(weights)
    for key in weights:
        if key.endswith('.attn.q_bias'):
            query, value = joined.pop(key), joined.pop(key.replace('.q_bias', '.v_bias'))
            joined[key.replace('.q_bias', '.qkv.bias')] = torch.cat(
                [query, torch.zeros_like(query), value])
    return joined


def without_table_module(key: str) -> str:
    """A weight's name where a block's own table lies in its attention."""
    return OWN_TABLE.sub(f'.attn.{TABLE}', key)


def format_kwargs(arguments: dict) -> str:
    """Keyword arguments as Python writes them."""
    return ', '.join(f'{name}={value!r}' for name, value in arguments.items())
