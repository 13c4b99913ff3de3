"""Tensors made from numbers alone, kept for the next forward pass."""

from collections.abc import Callable
from functools import lru_cache, wraps

import torch


def keep_tensors(maxsize: int) -> Callable[[Callable], Callable]:
    """Like ``functools.lru_cache``, for a function whose tensors serve in any later pass.

    What is made while a graph is captured (``torch.compile``, ``torch.export``) belongs to that
    graph: it is made anew there and never kept. What is kept can be saved for a backward pass, even
    if it was first needed in inference mode.

    Args:
        maxsize: How many are kept.
    """
    def decorate(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        @lru_cache(maxsize)
        def kept(*args: object) -> torch.Tensor:
            with torch.inference_mode(False):
                return make(*args)

        @wraps(make)
        def call(*args: object) -> torch.Tensor:
            return make(*args) if torch.compiler.is_compiling() else kept(*args)

        return call

    return decorate
