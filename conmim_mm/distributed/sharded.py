"""Looking at a model whose parameters are shared out among processes (FSDP) as at a whole one."""

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullStateDictConfig, StateDictType
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

FSDP_PREFIX = '_fsdp_wrapped_module.'


def can_offload_states() -> bool:
    """Whether whole states leave the device; on a CPU, PyTorch would free them in use."""
    return torch.cuda.is_available()


def clean_name(name: str) -> str:
    """A parameter's name in the unwrapped model."""
    return name.replace(FSDP_PREFIX, '')


def parameter_shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Shapes of all parameters by their names in the unwrapped model.

    Under FSDP a process holds a flat piece of each. To be called on all processes together.
    """
    if not isinstance(model, FSDP):
        return {name: param.shape for name, param in unwrap_model(model).named_parameters()}
    with FSDP.summon_full_params(model, writeback=False, offload_to_cpu=False):
        return {clean_name(name): param.shape for name, param in model.module.named_parameters()}


def whole_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """The unwrapped model's state dict on every process; to be called on all of them together."""
    if not isinstance(model, FSDP):
        return unwrap_model(model).state_dict()
    with whole_states(model):
        return model.state_dict()


def whole_states(model: FSDP):
    """Context in which a sharded model gives and takes whole state dicts on every process."""
    return FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT,
                                FullStateDictConfig(offload_to_cpu=can_offload_states()))


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model itself, where a runner holds it in DDP or under test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
