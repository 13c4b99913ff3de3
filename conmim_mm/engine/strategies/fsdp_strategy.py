"""Training with parameters, gradients and optimizer states shared out among the processes."""

import torch
from mmengine.dist import is_distributed
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullOptimStateDictConfig, FullStateDictConfig
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ...distributed.sharded import can_offload_states, whole_states
from ...errors import InputError
from ...models.decoders.hole_decoder import HoleDecoder
from ...models.layers.block import Block
from ...models.necks.conmim_projector import ConMIMProjector
from ...models.selfsup.ema_teacher import EMATeacher
from ..optimizers.amp_optim_wrapper import ConMIMAmpOptimWrapper
from ..optimizers.auto_scale_lr import scaling_of_a_batch
from ..private_names import FSDPStrategy


@STRATEGIES.register_module()
class ConMIMFSDPStrategy(FSDPStrategy):
    """MMEngine's ``FSDPStrategy``, made right for ConMIM, and for processes without a GPU.

    For ``runner_type='FlexibleRunner'``. Units of their own are the blocks of the ViTs, the
    projectors, the decoder and the teacher. So what is left, the rest of the student's backbone, is
    cut as the teacher's rest is, block as block, and each process moves its own piece of the
    teacher by its own piece of the student. Gradients are clipped by their norm over all processes;
    MMEngine clips each piece by its own. Checkpoints hold the whole weights, as without FSDP, and
    the optimizer's states by name: a run without FSDP can go on from one, but not the other way
    round.

    Args:
        model_wrapper: Settings of ``MMFullyShardedDataParallel`` beside those of above.
        **kwargs: As in :class:`mmengine._strategy.FSDPStrategy`.

    Raises:
        InputError: Mixed precision in float16, whose gradients could overflow on one process only,
            a run that was not started as a distributed one, or resuming what was not saved under
            FSDP.
    """

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs) -> None:
        settings = dict(type='MMFullyShardedDataParallel', use_orig_params=True,
                        auto_wrap_policy=is_fsdp_unit)
        if not torch.cuda.is_available():
            settings['device_id'] = 'cpu'
        super().__init__(model_wrapper=settings | dict(model_wrapper or {}), state_dict_cfg=dict(
            state_dict_type='FULL_STATE_DICT',
            state_dict_config=FullStateDictConfig(
                offload_to_cpu=can_offload_states(), rank0_only=True),
            optim_state_dict_config=FullOptimStateDictConfig(
                offload_to_cpu=can_offload_states(), rank0_only=True)), **kwargs)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        if not is_distributed():
            raise InputError('FSDP needs a process group, also for one GPU; start the run with '
                             'tools/dist_train.sh or tools/slurm_train.sh')
        return super().build_model(model)

    def build_optim_wrapper(self, optim_wrapper: BaseOptimWrapper | dict,
                            model: nn.Module | None = None) -> BaseOptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if isinstance(wrapper, ConMIMAmpOptimWrapper) and wrapper.loss_scaler.is_enabled():
            raise InputError('FSDP cannot train in float16; set optim_wrapper.dtype=bfloat16')
        if wrapper.clip_grad_kwargs and wrapper.clip_func is nn.utils.clip_grad_norm_:
            wrapper.clip_func = lambda params, **kwargs: model.clip_grad_norm_(**kwargs)
        self._auto_scale_lr = scaling_of_a_batch(
            self._auto_scale_lr, getattr(wrapper, '_accumulative_counts', 1))
        return wrapper

    def load_model_state_dict(self, state_dict: dict, **_: object) -> None:
        with whole_states(self.model):
            self.model.load_state_dict(
                {key.removeprefix('module.'): value for key, value in state_dict.items()})

    # MMEngine hands over these arguments in an order that PyTorch has given up.

    def optim_state_dict(self) -> dict:
        return FSDP.optim_state_dict(self.model, self.optim_wrapper.optimizer)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        if not all(isinstance(name, str) for name in state_dict['state']):
            raise InputError('the checkpoint was saved without FSDP, so its optimizer states have '
                             'no names; start from its weights: load_from without --resume')
        self.optim_wrapper.load_state_dict(FSDP.optim_state_dict_to_load(
            self.model, self.optim_wrapper.optimizer, state_dict))


def is_fsdp_unit(module: nn.Module, recurse: bool, **_: object) -> bool:
    """FSDP's wrap policy: which modules are gathered by themselves.

    Only what is called as a module may be: the student's backbone is not, but its blocks are.
    """
    return recurse or isinstance(module, Block | ConMIMProjector | HoleDecoder | EMATeacher)
