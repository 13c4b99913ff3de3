"""Ends a run that is asked to stop, with its state saved."""

import torch
import torch.distributed as dist
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...distributed.stop_signals import StopSignals, shield_workers
from ...errors import StoppedBySignal


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """On SIGTERM, SIGINT or SIGUSR1 all processes end their step, save, and exit with 143.

    The signal may reach one process or all of them; after every iteration, of validation too, they
    agree. The checkpoint is ``interrupted.pth``, which :class:`AtomicCheckpointHook` writes and
    ``--resume`` goes on from exactly. Another signal, a second later, ends a process at once.
    Without an :class:`AtomicCheckpointHook` in the config signals are left alone, with a warning.
    """

    priority = 'LOWEST'  # after everything that belongs to the iteration, the checkpoint included

    def __init__(self) -> None:
        self.signals: StopSignals | None = None
        self.group: dist.ProcessGroup | None = None
        self.common_val_iters = 0

    def before_train(self, runner: Runner) -> None:
        self.saver = next(
            (hook for hook in runner.hooks if hasattr(hook, 'save_interrupted')), None)
        if self.saver is None:
            runner.logger.warning('a signal will end this run without saving: that needs '
                                  'default_hooks.checkpoint.type=mmpretrain.AtomicCheckpointHook')
            return
        if get_world_size() > 1 and self.group is None:
            # on the CPU, so that asking does not wait for the GPU
            self.group = (dist.group.WORLD if dist.get_backend() == 'gloo'
                          else dist.new_group(backend='gloo'))
        shield_workers(runner.train_dataloader)
        if runner.val_loop is not None:
            shield_workers(runner.val_dataloader)
        self.signals = StopSignals()
        self.signals.install()

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if self.signals is not None:
            self._stop_if_asked(runner, runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        if self.signals is not None:
            # processes may have one batch more than others, and ask only while all of them do
            self.common_val_iters = self._reduced(len(runner.val_dataloader), 'min')

    def after_val_iter(self, runner: Runner, batch_idx: int, *_: object, **__: object) -> None:
        if self.signals is not None and batch_idx < self.common_val_iters:
            self._stop_if_asked(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        if self.signals is not None:
            self.signals.restore()
            self.signals = None

    def _reduced(self, number: int, operation: str) -> int:
        tensor = torch.tensor(number)
        all_reduce(tensor, operation, self.group)
        return int(tensor)

    def _stop_if_asked(self, runner: Runner, iteration: int) -> None:
        if not self._reduced(int(self.signals.received is not None), 'max'):
            return
        path = self.saver.save_interrupted(runner, dict(epoch=runner.epoch, iter=iteration))
        name = self.signals.received or 'a signal to another process'
        runner.logger.warning(f'stopped by {name} after iteration {iteration}, all saved in '
                              f'{path}; the same command with --resume goes on')
        runner.visualizer.close()
        self.after_train(runner)
        raise StoppedBySignal
