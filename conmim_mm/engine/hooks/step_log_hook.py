"""What a step notes for the log, at a cost that neither waits for the optimizer nor grows."""

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import LogProcessor, Runner
from mmpretrain.registry import HOOKS

from ..optimizers.guarded_optim_wrapper import GuardedOptimWrapper
from ..watching import guard_trackers

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

    A tracker that fails while a run goes on is left out with a warning, too.
    """

    def before_run(self, runner: Runner) -> None:
        super().before_run(runner)
        guard_trackers(runner)

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._max_length = longest_window(
            runner.log_processor, len(runner.train_dataloader), runner.max_iters)
        self._stream = torch.cuda.Stream() if torch.cuda.is_available() else None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        wrapper, values = runner.optim_wrapper, [*(outputs or {}).values()]
        has_waited = isinstance(wrapper, GuardedOptimWrapper) and wrapper.should_update()
        if has_waited and all(isinstance(value, torch.Tensor) and value.ndim == 0
                              for value in values) and len({one.device for one in values}) == 1:
            # a stream of its own does not queue behind the optimizer step
            with torch.cuda.stream(self._stream):
                outputs = dict(zip(outputs, torch.stack(values).tolist(), strict=True))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        for name, history in runner.message_hub.log_scalars.items():
            if name.startswith('train/'):
                history.max_length = self._max_length


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
