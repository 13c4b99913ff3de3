"""The model inside a distributed wrapper."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model itself, where a runner holds it in a wrapper such as DDP."""
    return model.module if is_model_wrapper(model) else model
