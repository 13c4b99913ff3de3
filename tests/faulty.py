"""A ConMIM whose numbers go bad when they are told to."""

import torch
from mmengine.dist import get_rank
from mmpretrain.registry import MODELS

from conmim_mm.models import ConMIM


@MODELS.register_module()
class FaultyConMIM(ConMIM):
    """Its loss, with all that comes before it, or its gradient alone is bad at some batches.

    Args:
        bad_losses: Which batches, counted from 1, have pixels that are no numbers.
        bad_values: Which batches have an infinite loss, while all before and its gradient are fine.
        bad_gradients: Which batches have a gradient that is infinite, while the loss is fine.
        rank: On this process only.
        **kwargs: As in ConMIM.
    """

    def __init__(self, bad_losses: tuple = (), bad_values: tuple = (),
                 bad_gradients: tuple = (), rank: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.bad_losses, self.bad_values = bad_losses, bad_values
        self.bad_gradients, self.rank = bad_gradients, rank
        self.batch = 0

    def loss(self, inputs: dict, data_samples: list | None = None) -> dict:
        self.batch += 1
        here = get_rank() == self.rank
        if here and self.batch in self.bad_losses:
            inputs = {key: value * torch.nan if key.endswith('_view') else value
                      for key, value in inputs.items()}
        losses = super().loss(inputs, data_samples)
        if here and self.batch in self.bad_values:
            losses['loss'] = losses['loss'] + torch.inf
        if here and self.batch in self.bad_gradients:
            losses['loss'].register_hook(lambda gradient: gradient * torch.inf)
        return losses
