"""How long a step takes, how much of that it waits for data, and how many images it sees."""

import time
from collections import deque

from mmengine.dist import get_world_size
from mmengine.hooks import Hook, IterTimerHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...utils.sizes import batch_size_of
from ..watching import only_watches


@HOOKS.register_module()
class StepTimerHook(IterTimerHook):
    """MMEngine's ``IterTimerHook``, to be put in its place as ``default_hooks.timer``.

    MMEngine counts what hooks do at the end of a step, such as saving a checkpoint, as time spent
    on loading the next batch. Here ``data_time`` is the wait for the loader and nothing else;
    ``time`` is still all of it, but for validations.

    Logged beside them, over the log's window (``log_processor.window_size``):

    - ``images_per_second``: all processes together, from the batches as they came.
    - ``data_wait``: share of the time, 0 to 1, that this process waited for its loader.

    Both are quotients of sums. A mean of each step's own number would hide that one step in ten
    waits for the batches of ten workers.
    """

    def before_run(self, runner: Runner) -> None:
        if not any(isinstance(hook, _EndOfStep) for hook in runner.hooks):
            runner.register_hook(_EndOfStep(self))

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._steps = deque(maxlen=runner.log_processor.window_size)
        self.t = self._waiting_since = time.time()

    @only_watches
    def before_val(self, runner: Runner) -> None:
        self._paused = time.time(), vars(self).get('t'), runner.message_hub.runtime_info.get('eta')

    @only_watches
    def after_val(self, runner: Runner) -> None:
        since, t, eta = self._paused
        if t is None:  # nothing is being trained
            return
        # MMEngine times the validation by the same clock, and says how much of it is left
        passed = time.time() - since
        self.t = t + passed
        self._waiting_since += passed
        runner.message_hub.runtime_info.update(eta=eta or 0.)

    def begin_waiting(self) -> None:
        """Notes that from now on only the loader keeps the step from beginning."""
        self._waiting_since = time.time()

    @only_watches
    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self._waited = time.time() - self._waiting_since
        runner.message_hub.update_scalar('train/data_time', self._waited)

    @only_watches
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        hub = runner.message_hub
        images = batch_size_of(data_batch) * get_world_size()
        self._steps.append((hub.get_scalar('train/time').current(), self._waited, images))
        seconds, waited, seen = map(sum, zip(*self._steps, strict=True))
        if seconds > 0:
            hub.update_scalar('train/images_per_second', seen / seconds)
            hub.update_scalar('train/data_wait', waited / seconds)


class _EndOfStep(Hook):
    """The last hook of all: after it, the loop asks the loader for a batch."""

    priority = 'LOWEST'

    def __init__(self, timer: StepTimerHook) -> None:
        self.timer = timer

    def before_train_epoch(self, runner: Runner) -> None:
        self.timer.begin_waiting()

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self.timer.begin_waiting()

