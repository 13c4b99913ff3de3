"""What MMEngine and PyTorch offer under private names only, and why it is needed."""

import torch._dynamo
from mmengine._strategy import FSDPStrategy
from mmengine.optim.scheduler import _ParamScheduler

__all__ = ['DYNAMO', 'FSDPStrategy', 'ParamScheduler']

# blocks are many variants of one function, and PyTorch would give up on compiling it before
DYNAMO = torch._dynamo.config
# a schedule in closed form; MMEngine's public ones step from value to value
ParamScheduler = _ParamScheduler
