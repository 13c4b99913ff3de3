"""Numbers that are not finite stop a run before they reach the weights."""

from collections.abc import Callable
from logging import WARNING
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from ...errors import InputError

# How bad a step is. The smallest of all processes counts, so all of them do the same.
LOSS_NOT_FINITE, GRADIENT_NOT_FINITE, FINITE = 0., 1., 2.

# Settings of an optimizer that say how it computes, not what.
IMPLEMENTATION = ('fused', 'foreach')


class NonFiniteError(InputError):
    """A loss or a gradient is not finite; the weights are as they were before that step."""


class BadStep(NamedTuple):
    """A step that was not taken.

    Attributes:
        step: Which one, counted in iterations from 1, as in the log.
        learning_rate: Of the optimizer, at this step.
        cause: What is not finite, in words.
        finite_losses: For each batch of the step on this process, whether its loss is finite.
        stops: The run ends; otherwise the step is skipped.
    """

    step: int
    learning_rate: float
    cause: str
    finite_losses: list[bool]
    stops: bool


@OPTIM_WRAPPERS.register_module()
class GuardedOptimWrapper(OptimWrapper):
    """MMEngine's wrapper, which does not step where a loss or the gradient is not finite.

    All processes agree on that, at the cost of reducing one number per step; it is read together
    with the gradient norm, so no step waits for the device more often than with MMEngine's
    clipping. Where gradients accumulate, one bad batch drops the whole step.

    :class:`BadNumbersHook` adds the images to the message and
    saves the state.

    Args:
        max_bad_steps: So many bad steps of the whole run are skipped and counted in the log; the
            next one ends it. The count is part of a checkpoint.
        **kwargs: As in :class:`mmengine.optim.OptimWrapper`.

    Attributes:
        stepped: Whether the last step changed the weights.
        bad_steps: How many have been skipped.
        on_bad_step: Called on every process with a bad step; returns what the message says besides.

    Raises:
        InputError: A negative ``max_bad_steps``.
        NonFiniteError: At a bad step, on all processes.
    """

    def __init__(self, max_bad_steps: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        if max_bad_steps < 0:
            raise InputError(f'optim_wrapper.max_bad_steps must be at least 0, but is '
                             f'{max_bad_steps}')
        self.max_bad_steps = max_bad_steps
        self.bad_steps = 0
        self.stepped = True
        self.on_bad_step: Callable[[BadStep], str] | None = None
        self._finite_losses: list[torch.Tensor] = []

    def update_params(self, loss: torch.Tensor, *args, **kwargs) -> None:
        """Notes, without waiting for the device, whether the loss is finite; then as MMEngine."""
        self._finite_losses.append(loss.detach().isfinite().all())
        super().update_params(loss, *args, **kwargs)

    def step(self, **kwargs) -> None:
        """Clips, then steps, if all losses and the gradient are finite on all processes."""
        losses, self._finite_losses = self._finite_losses, []
        norm = self._clip_and_measure()
        verdict = torch.where(norm.isfinite(), FINITE, GRADIENT_NOT_FINITE)
        if losses:
            verdict = torch.where(torch.stack(losses).all(), verdict, LOSS_NOT_FINITE)
        all_reduce(verdict, 'min')
        # the only wait for the device
        verdict, norm = torch.stack([verdict, norm]).tolist()
        if self._clips_norm:
            self.message_hub.update_scalar(f'train/{self.grad_name}', norm)

        self.stepped = verdict == FINITE
        if self.stepped:
            self._take_step(**kwargs)
        elif cause := self._cause_of_bad_step(loss_is_finite=verdict == GRADIENT_NOT_FINITE):
            self._count_or_stop(cause, [bool(finite) for finite in losses])

    @property
    def _clips_norm(self) -> bool:
        return bool(self.clip_grad_kwargs) and self.grad_name == 'grad_norm'

    def _clip_and_measure(self) -> torch.Tensor:
        """Clips as configured; the norm of all gradients before that, on their device."""
        params = [param for group in self.optimizer.param_groups for param in group['params']]
        with_grad = [param for param in params if param.requires_grad and param.grad is not None]
        if not with_grad:
            return torch.zeros((), device=params[0].device)
        if self._clips_norm:
            return self.clip_func(with_grad, **self.clip_grad_kwargs)
        # with this limit nothing is clipped
        norm = torch.nn.utils.clip_grad_norm_(with_grad, float('inf'))
        if self.clip_grad_kwargs:
            self.clip_func(with_grad, **self.clip_grad_kwargs)
        return norm

    def _take_step(self, **kwargs) -> None:
        self.optimizer.step(**kwargs)

    def _cause_of_bad_step(self, loss_is_finite: bool) -> str | None:
        """What is wrong, in words; None if that is no cause for complaint."""
        return 'the gradient is not finite' if loss_is_finite else 'the loss is not finite'

    def _count_or_stop(self, cause: str, finite_losses: list[bool]) -> None:
        self.zero_grad()
        rates = self.get_lr()
        bad = BadStep(
            step=self._inner_count,
            learning_rate=rates.get('base_lr', rates['lr'])[0],
            cause=cause,
            finite_losses=finite_losses,
            stops=self.bad_steps >= self.max_bad_steps)
        details = self.on_bad_step(bad) if self.on_bad_step else ''
        what = f'{cause} at step {bad.step} (learning rate {bad.learning_rate:g}){details}'
        if bad.stops:
            raise NonFiniteError(
                f'{what}; the weights are as before this step. Look at the images, lower '
                'optim_wrapper.optimizer.lr, or let more bad steps be skipped '
                f'(optim_wrapper.max_bad_steps; {self.bad_steps} skipped so far)')
        self.bad_steps += 1
        self.message_hub.update_scalar('train/bad_steps', self.bad_steps)
        print_log(f'{what}; skipped, number {self.bad_steps} of at most {self.max_bad_steps} '
                  '(optim_wrapper.max_bad_steps)', logger='current', level=WARNING)

    def state_dict(self) -> dict:
        """The optimizer's state and the number of skipped steps."""
        return super().state_dict() | dict(bad_steps=self.bad_steps)

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over what :meth:`state_dict` gave; a state without a count is fine.

        Whether the optimizer steps fused or by foreach stays as it is here.
        """
        state_dict = dict(state_dict)
        self.bad_steps = state_dict.pop('bad_steps', 0)
        # PyTorch would take it over from the checkpoint, and a gradient scaler fails where it made
        # ready for the other.
        if len(state_dict['param_groups']) == len(self.optimizer.param_groups):
            state_dict['param_groups'] = [
                saved | {key: own[key] for key in IMPLEMENTATION if key in own} for saved, own
                in zip(state_dict['param_groups'], self.optimizer.param_groups, strict=True)]
        super().load_state_dict(state_dict)
