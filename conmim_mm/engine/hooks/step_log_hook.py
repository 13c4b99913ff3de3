"""What a step notes for the log, at a cost that neither waits for the optimizer nor grows."""

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.optim import OptimWrapper
from mmengine.runner import LogProcessor, Runner
from mmpretrain.registry import HOOKS

from ..optimizers.guarded_optim_wrapper import GuardedOptimWrapper

KEPT_VALUES = 10_000  # of each logged number, if no window of the log is longer


@HOOKS.register_module()
class StepLogHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook``, to be put in its place as ``default_hooks.runtime_info``.

    MMEngine reads a step's losses one by one, each time waiting for the optimizer step, which the
    device has just been given. Here they are read together, and not before but beside it, where
    :class:`GuardedOptimWrapper` has waited for them already.

    MMEngine also keeps up to a million values of every logged number, copies all of them for the
    next one, and puts all of them into every checkpoint. Here only so many are kept as the log's
    windows need, at least ``KEPT_VALUES``. What is logged is the same.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._max_length = longest_window(
            runner.log_processor, len(runner.train_dataloader), runner.max_iters)
        self._stream = torch.cuda.Stream() if torch.cuda.is_available() else None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        if outputs and losses_are_ready(runner.optim_wrapper) and are_scalars(outputs):
            # a stream of its own does not queue behind the optimizer step
            with torch.cuda.stream(self._stream):
                outputs = transfer_scalars(outputs)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        for name, history in runner.message_hub.log_scalars.items():
            if name.startswith('train/'):
                history.max_length = self._max_length


def losses_are_ready(optim_wrapper: OptimWrapper) -> bool:
    """Whether the losses of the last step have been computed for certain, also on a GPU."""
    return isinstance(optim_wrapper, GuardedOptimWrapper) and optim_wrapper.should_update()


def are_scalars(outputs: dict) -> bool:
    """Whether all values are tensors of one number each, on one device."""
    values = [*outputs.values()]
    return (all(isinstance(value, torch.Tensor) and value.ndim == 0 for value in values)
            and len({value.device for value in values}) == 1)


def transfer_scalars(outputs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Scalars of one device as Python's numbers, in one transfer."""
    return dict(zip(outputs, torch.stack([*outputs.values()]).tolist(), strict=True))


def longest_window(log_processor: LogProcessor, epoch_length: int, max_iters: int) -> int:
    """How many values of a number the log may look back on, at least ``KEPT_VALUES``.

    Args:
        log_processor: The runner's.
        epoch_length: Iterations of an epoch, MMEngine's window ``'epoch'``.
        max_iters: Iterations of the run, its window ``'global'`` and where none is given.
    """
    named = {'epoch': epoch_length, 'global': max_iters}
    windows = [setting.get('window_size') or 'global' for setting in log_processor.custom_cfg]
    return max(KEPT_VALUES, log_processor.window_size,
               *(named.get(window, window) for window in windows))
