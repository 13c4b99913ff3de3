"""Runs a model to look at it, and leaves it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn


@contextmanager
def inspection(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; the mode of every module comes back afterwards.

    In eval mode the projectors' batch norms use their running statistics and do not move them, and
    no random numbers are drawn. What is seen of an image then does not depend on the images beside
    it, and processes need not wait for each other. (On the demo's model the hit rate is the same as
    with batch statistics, 0.088 and 0.089 over 64 images.)

    Args:
        model: Any module; parts that were compiled run uncompiled, as compiling them once more for
            this mode would take longer than the pictures.
    """
    modes = {module: module.training for module in model.modules()}
    set_stance = getattr(torch.compiler, 'set_stance', None)  # from PyTorch 2.6
    model.eval()
    try:
        with torch.no_grad(), set_stance('force_eager') if set_stance else nullcontext():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
