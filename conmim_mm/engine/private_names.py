"""What MMEngine and PyTorch offer under private names only, and why it is needed."""

import torch._dynamo
from mmengine._strategy import FSDPStrategy
from mmengine.optim.scheduler import _ParamScheduler
from mmengine.visualization import Visualizer
from mmengine.visualization.vis_backend import BaseVisBackend

__all__ = ['DYNAMO', 'FSDPStrategy', 'ParamScheduler', 'backends_of']

# blocks are many variants of one function, and PyTorch would give up on compiling it before
DYNAMO = torch._dynamo.config
# a schedule in closed form; MMEngine's public ones step from value to value
ParamScheduler = _ParamScheduler


def backends_of(visualizer: Visualizer) -> list[BaseVisBackend]:
    """All of them; its public ``get_backend`` asks for a name, which need not be in the config."""
    return list(visualizer._vis_backends.values())
