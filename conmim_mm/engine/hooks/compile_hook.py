"""torch.compile for the parts of the model that repeat."""

import os
import shutil

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ...distributed.sharded import unwrap_model
from ...errors import InputError
from ...models.decoders.cross_attention_decoder import CrossAttentionBlock
from ...models.layers.block import Block
from ...models.necks.conmim_projector import ConMIMProjector
from ..private_names import DYNAMO

REGIONS = (Block, CrossAttentionBlock, ConMIMProjector)


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the blocks and projectors of student and teacher, each in place.

    Blocks are alike, so they share what is compiled: once with gradients, once without. Names of
    weights, checkpoints and what is saved in them stay as they are. The first step takes a minute
    or so longer. Results differ from those of an uncompiled run by rounding.

    Off by default; on with ``--cfg-options default_hooks.compile.type=mmpretrain.CompileHook``.

    Args:
        backend: As in :func:`torch.compile`.

    Raises:
        InputError: At the start of a run, a model without such parts, a model under FSDP, or no
            C++ compiler where one is needed.
    """

    def __init__(self, backend: str = 'inductor') -> None:
        self.backend = backend

    def before_train(self, runner: Runner) -> None:
        if any(isinstance(module, FSDP) for module in runner.model.modules()):
            raise InputError('CompileHook does not go with FSDP; leave out default_hooks.compile')
        regions = regions_of(unwrap_model(runner.model))
        if not regions:
            raise InputError('CompileHook finds nothing to compile: the model has neither '
                             f'{" nor ".join(kind.__name__ for kind in REGIONS)}')
        on_cpu = next(runner.model.parameters()).device.type == 'cpu'
        compiler = os.environ.get('CXX', 'g++')
        if self.backend == 'inductor' and on_cpu and shutil.which(compiler) is None:
            raise InputError(f'CompileHook needs a C++ compiler on a CPU, but there is no '
                             f'{compiler}; install g++, name another one in CXX, or leave out '
                             'default_hooks.compile')
        # Every block may have a drop path rate of its own, with and without gradients.
        DYNAMO.cache_size_limit = max(DYNAMO.cache_size_limit, 2 * len(regions))
        for region in regions:
            region.compile(backend=self.backend, dynamic=False)


def regions_of(model: nn.Module) -> list[nn.Module]:
    """What :class:`CompileHook` compiles, first to last."""
    return [module for module in model.modules() if isinstance(module, REGIONS)]
