"""The parts of a model in training that features are extracted with."""

from collections.abc import Callable

from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ....distributed.sharded import unwrap_model, whole_state_dict


class RGBImages(nn.Module):
    """A data preprocessor that is given RGB images, also if those of the training set come as BGR.

    Args:
        preprocessor: The model's.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, data: dict) -> dict:
        """As the model's preprocessor, for ``inputs`` ``(B, 3, H, W)``."""
        if getattr(self.preprocessor, 'to_rgb', False):
            data = data | dict(inputs=data['inputs'].flip(1))
        return self.preprocessor(data)


def frozen_backbone(runner: Runner, weights: str) -> Callable[[], nn.Module]:
    """What gives the backbone to extract features with; to be called by all processes together.

    Args:
        runner: A runner with a ConMIM.
        weights: ``'teacher'`` or ``'student'``.

    Returns:
        A function of this process alone, so that its failure can be told the others. It returns the
        model's own backbone; under FSDP, where each process has pieces only, a whole copy.
    """
    model = unwrap_model(runner.model)
    if not isinstance(runner.model, FSDP):
        return lambda: (model.teacher if weights == 'teacher' else model).backbone
    prefix = 'teacher.backbone.' if weights == 'teacher' else 'backbone.'
    state = whole_state_dict(runner.model)

    def build() -> nn.Module:
        backbone = MODELS.build(runner.cfg.model['backbone'])
        backbone.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()
                                  if key.startswith(prefix)})
        return backbone.to(next(runner.model.parameters()).device)

    return build
