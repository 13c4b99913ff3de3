"""Mixed precision on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import WARNING

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmpretrain.registry import OPTIM_WRAPPERS
from torch import nn

from ...errors import InputError
from .guarded_optim_wrapper import GuardedOptimWrapper


def has_cpu_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 rather than emulating it."""
    supported = getattr(torch.cpu, '_is_avx512_bf16_supported', None)  # not in every release
    return supported is not None and supported()


@OPTIM_WRAPPERS.register_module()
class ConMIMAmpOptimWrapper(GuardedOptimWrapper):
    """Autocast in bfloat16 or float16, on GPU and CPU alike.

    MMEngine's ``AmpOptimWrapper`` refuses to be built on a CPU and scales bfloat16 losses, which
    need no scaling. Here float16 has a gradient scaler and bfloat16 has none. A processor without
    bfloat16 instructions emulates them, which takes many times as long as float32: there float32
    it is, with a line in the log.

    Float16 gradients that overflow where the loss is finite are no bad step: the step is left out
    and the scale halved, as with any gradient scaler. A scale that falls below 1 is one.

    Args:
        dtype: ``'bfloat16'`` or ``'float16'``.
        loss_scale: Start value of float16's dynamic loss scale.
        **kwargs: As in :class:`GuardedOptimWrapper`.

    Raises:
        InputError: Another dtype, or bfloat16 on a GPU that has none.
    """

    dtypes = {'bfloat16': torch.bfloat16, 'float16': torch.float16}

    def __init__(self, dtype: str = 'bfloat16', loss_scale: float = 2.**16, **kwargs) -> None:
        super().__init__(**kwargs)
        if dtype not in self.dtypes:
            raise InputError(f'unknown AMP dtype {dtype!r}; choose from {sorted(self.dtypes)}')
        self.dtype = self.dtypes[dtype]
        self.device_type = torch.device(get_device()).type
        if (dtype == 'bfloat16' and self.device_type == 'cuda'
                and not torch.cuda.is_bf16_supported(including_emulation=False)):
            raise InputError(f'{torch.cuda.get_device_name()} has no bfloat16; set '
                             'optim_wrapper.dtype=float16')
        self.autocasts = not (
            dtype == 'bfloat16' and self.device_type == 'cpu' and not has_cpu_bfloat16())
        if not self.autocasts:
            print_log('this processor has no bfloat16 instructions: training in float32, which is '
                      'many times faster than emulating them', logger='current', level=WARNING)
        # A disabled scaler passes everything through, so there is one code path for both types.
        self.loss_scaler = torch.amp.GradScaler(
            self.device_type, init_scale=loss_scale, enabled=dtype == 'float16')

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient synchronisation while accumulating."""
        with super().optim_context(model), torch.autocast(
                self.device_type, self.dtype, enabled=self.autocasts):
            yield

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Back-propagates the scaled loss."""
        super().backward(self.loss_scaler.scale(loss), **kwargs)

    def _clip_and_measure(self) -> torch.Tensor:
        self.loss_scaler.unscale_(self.optimizer)  # true gradients are clipped
        return super()._clip_and_measure()

    def _take_step(self, **kwargs) -> None:
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()

    def _cause_of_bad_step(self, loss_is_finite: bool) -> str | None:
        scale = self.loss_scaler.get_scale()
        if not loss_is_finite:
            self.loss_scaler.update(scale)  # forgets this step; the scale is not to blame
            return super()._cause_of_bad_step(loss_is_finite)
        self.loss_scaler.update()
        new_scale = self.loss_scaler.get_scale()
        if new_scale >= scale:  # no overflow of float16
            return super()._cause_of_bad_step(loss_is_finite)
        return 'the loss scale of float16 has fallen below 1' if new_scale < 1 else None

    def state_dict(self) -> dict:
        """The optimizer's state and the loss scale."""
        return super().state_dict() | dict(loss_scaler=self.loss_scaler.state_dict())

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over what :meth:`state_dict` gave; a state without a loss scale is fine."""
        state_dict = dict(state_dict)
        scaler_state = state_dict.pop('loss_scaler', None)
        if scaler_state:
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(state_dict)
