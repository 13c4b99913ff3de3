"""Our backbone's weights under the names of timm, Hugging Face transformers and the original."""

import re

import torch

from ..models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD

Weights = dict[str, torch.Tensor]

SHARED = 'rel_pos_bias'
TABLE = 'relative_position_bias_table'
# A block's own table lies in a module here, and in the attention itself elsewhere.
OWN_TABLE = re.compile(rf'\.attn\.rel_pos_bias\.{TABLE}$')


def normalisation() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per RGB channel of images in 0-1: ImageNet's, as all configs here have it."""
    mean = tuple(round(value / 255, 6) for value in IMAGENET_MEAN)
    return mean, tuple(round(value / 255, 6) for value in IMAGENET_STD)


def without_table_module(key: str) -> str:
    """A weight's name where a block's own table lies in its attention."""
    return OWN_TABLE.sub(f'.attn.{TABLE}', key)


def format_kwargs(arguments: dict) -> str:
    """Keyword arguments as Python writes them."""
    return ', '.join(f'{name}={value!r}' for name, value in arguments.items())
